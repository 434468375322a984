/**
 * dnsmasq's configuration for one network and the host line of one port, as text. It consists of typed options only, so
 * no free text of a user can become an option (docs/threats.md#t1). Pure; called by dhcp-server.ts and dhcp-hosts.ts.
 */
import type { AddressPair, NetworkSpec } from '@photoncloud/machines/values/wiring';
import { routesFor } from '@photoncloud/machines/values/dhcp-routes';
import { cidrParts } from '../wiring-checks.ts';

export interface DhcpNetwork {
  readonly bridge: string;
  /** A bridge that was made anew has another one: dnsmasq's socket is bound to the device it found at its start. */
  readonly ifindex: number;
  readonly network: NetworkSpec;
}

const headOf = (network: string): string => `# ${network} on interface`;

/** The id of the network that a configuration is of. */
export const networkIn = (text: string): string | undefined => /^# (\S+) on interface/.exec(text)?.[1];

/**
 * Static ranges only: an address nobody declared is never given out. DNS is off (`port=0`, docs/threats.md#t2). Who a
 * guest is, its MAC alone says (docs/threats.md#t41), which the firewall pins to the port: a client identifier and a
 * host name in a request have no meaning.
 */
export function configText({ bridge, ifindex, network }: DhcpNetwork, hostsFolder: string, user: string): string {
  const { dhcp } = network;
  const lines = [
    `${headOf(network.network)} ${ifindex}`,
    'port=0',
    'no-resolv',
    'no-hosts',
    'bind-interfaces',
    'except-interface=lo',
    'dhcp-authoritative',
    'dhcp-ignore-clid',
    'dhcp-ignore-names',
    'no-ping',
    'leasefile-ro',
    'quiet-dhcp',
    'dhcp-lease-max=65536',
    `user=${user}`,
    'log-facility=/dev/null',
    // Read at each SIGHUP. To watch a folder costs an inotify instance, of which a host has 128 by default.
    `dhcp-hostsfile=${hostsFolder}`,
    `interface=${bridge}`,
    ...network.subnets.flatMap((subnet, index) => {
      const { network: base, mask } = cidrParts(subnet.cidr);
      const tag = `${bridge}x${index}`;
      const option = (number: number, values: readonly (string | number)[]): string[] =>
        values.length === 0 ? [] : [`dhcp-option=tag:${tag},${number},${values.join(',')}`];
      return [
        `dhcp-range=set:${tag},${base},static,${mask},${dhcp.leaseSeconds}`,
        ...option(3, [subnet.gateway]),
        ...option(26, [network.mtu]),
        ...option(6, dhcp.dns),
        ...option(15, dhcp.domain === null ? [] : [dhcp.domain]),
        ...option(119, dhcp.search),
        ...option(42, dhcp.ntp),
        ...option(
          121,
          routesFor(subnet, dhcp.routes ?? []).map(({ destination, via }) => `${destination},${via}`),
        ),
      ];
    }),
  ];
  return `${lines.join('\n')}\n`;
}

export interface DhcpHost {
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
  readonly hostname: string;
  readonly pairs: readonly AddressPair[];
  /** True: the tap stands by; another host has the address. */
  readonly standby?: boolean;
}

export const standbyMark = '# standby';

/**
 * The content of an address's file; the first line names the tap that has the address. What a tap has beside it, its
 * address pairs, are comments to dnsmasq, each on a line of its own: dnsmasq reads no long lines.
 */
export const hostText = (host: DhcpHost): string =>
  [
    `# ${host.tap}`,
    hostLine(host),
    ...(host.standby === true ? [standbyMark] : []),
    ...host.pairs.map(({ address, mac }) => `# pair ${address} ${mac}`),
    '',
  ].join('\n');

/**
 * dnsmasq has words of its own where a host name may stand, such as `ignore` and `infinite`. None of them ends with a
 * dot, which it cuts off a name: so a name is never taken for such a word, whatever a tenant calls a VM
 * (docs/threats.md#t42).
 */
export const hostLine = (host: Pick<DhcpHost, 'mac' | 'address' | 'hostname'>): string =>
  `${host.mac},${host.address},${host.hostname}.`;

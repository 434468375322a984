/**
 * dnsmasq's configuration for one VPC namespace and the host line of one port, as text. It consists of typed options
 * only, so no free text of a user can become an option (docs/threats.md#t1). Pure; called by dhcp-server.ts and
 * dhcp-hosts.ts.
 */
import type { NetworkSpec } from '@photoncloud/machines/values/wiring';
import { cidrParts } from '../wiring-checks.ts';

export interface DhcpNetwork {
  readonly bridge: string;
  readonly network: NetworkSpec;
}

/**
 * Static ranges only: an address nobody declared is never given out. DNS is off (`port=0`, docs/threats.md#t2).
 * @param networks as `networkText` makes them
 */
export function configText(networks: readonly string[], hostsFolder: string, user: string): string {
  const lines = [
    'port=0',
    'no-resolv',
    'no-hosts',
    'bind-interfaces',
    'except-interface=lo',
    'dhcp-authoritative',
    'no-ping',
    'leasefile-ro',
    'quiet-dhcp',
    'dhcp-lease-max=65536',
    `user=${user}`,
    'log-facility=/dev/null',
    `dhcp-hostsdir=${hostsFolder}`,
  ];
  return `${lines.join('\n')}\n${networks.join('')}`;
}

/** Of one network: its interface, a static range and the options of each subnet. */
export function networkText({ bridge, network }: DhcpNetwork): string {
  const { dhcp } = network;
  const lines = [
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
        ...option(42, dhcp.ntp),
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
}

/** The content of an address's file; the first line names the tap that has the address. */
export const hostText = (host: DhcpHost): string => `# ${host.tap}\n${hostLine(host)}\n`;
export const hostLine = (host: DhcpHost): string => `${host.mac},${host.address},${host.hostname}`;

/**
 * To which addresses a worker connects when a tenant names a host (docs/threats.md#t10): only to those that are global,
 * and that are neither this host's own nor on a network to which it is attached, nor of another node of the cluster;
 * unless the operator has allowed them. Called by source-request.ts with every address, after its name was resolved.
 */
import { BlockList, isIP, isIPv4 } from 'node:net';
import os from 'node:os';

/** IANA special-purpose registries: what is not globally reachable, and multicast. */
const notGlobal4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];
/** Everything else is not global; this leaves out IPv4 in IPv6 in all its forms. */
const global6 = ['2000::/3'];
/** Of the global ones: protocol assignments with Teredo, documentation, 6to4. */
const notGlobal6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** @throws RangeError for a text that is neither an address nor a CIDR */
export function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    if (isIP(address) === 0) throw new RangeError(`${JSON.stringify(network)} is neither an address nor a CIDR`);
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    list.addSubnet(address, prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix), family);
  }
  return list;
}

const refused4 = blockListOf(notGlobal4);
const accepted6 = blockListOf(global6);
const refused6 = blockListOf(notGlobal6);

/** Addresses of this host with the networks they are on, read each time because they change. */
const attachedNetworks = (): readonly string[] =>
  Object.values(os.networkInterfaces()).flatMap((all = []) =>
    all.map(({ cidr }) => cidr ?? '').filter((one) => one !== ''),
  );

export interface AddressRules {
  /** CIDRs that the operator has allowed. */
  readonly allowed: readonly string[];
  /** Addresses of the nodes of the cluster. */
  readonly nodes: readonly string[];
}

/** @param address canonical, of one family; without a zone */
export function isPermitted(address: string, { allowed, nodes }: AddressRules): boolean {
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  if (blockListOf(allowed).check(address, family)) return true;
  const isGlobal =
    family === 'ipv4'
      ? !refused4.check(address, family)
      : accepted6.check(address, family) && !refused6.check(address, family);
  return isGlobal && !blockListOf([...attachedNetworks(), ...nodes]).check(address, family);
}

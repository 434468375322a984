/**
 * The addresses of a network as a list, and whether all that is recorded of them agrees: rows by owner, by port and by
 * MAC, the bits of blocks, and the numbers in the context. Pure functions, for the commands `network.addresses` and
 * `network.verify`.
 */
import { assertEvent } from 'xstate';
import * as addresses from '../values/addresses.ts';
import { withCondition, type Condition } from '../values/conditions.ts';
import { reply, rows, type Asked } from '../values/telling.ts';
import * as ipam from './network-addresses.ts';
import type { Beside, Block, Held, Owner } from './network-addresses.ts';
import type { At, NetworkContext } from './network-messages.ts';

/** Addresses of one answer. */
export const addressesAtOnce = 200;

/** Addresses of the pools, how many of them are allocated, and how many outside of them are. */
export function utilisation({ subnets }: Pick<NetworkContext, 'subnets'>): {
  readonly used: number;
  readonly all: number;
  readonly outside: number;
} {
  const all = subnets.reduce((sum, subnet) => sum + ipam.freshUse(subnet).free, 0);
  const free = subnets.reduce((sum, subnet) => sum + subnet.free, 0);
  const outside = subnets.reduce((sum, subnet) => sum + subnet.outside, 0);
  return { used: all - free, all, outside };
}

/** Shares of used addresses from which on the condition `AddressesFree` is false, with its reason. */
const levels = [
  { from: 1, reason: 'Full' },
  { from: 0.95, reason: 'Above95Percent' },
  { from: 0.8, reason: 'Above80Percent' },
] as const;

/** The conditions after a change of the allocated addresses. @param remedy what to do when they become few */
export function noteUtilisation(
  context: Pick<NetworkContext, 'conditions'>,
  subnets: NetworkContext['subnets'],
  at: number,
  remedy = 'add a subnet, widen a pool, or delete ports',
): readonly Condition[] {
  const { used, all } = utilisation({ subnets });
  const level = levels.find(({ from }) => used >= from * all);
  const type = 'AddressesFree';
  if (level === undefined) return withCondition(context.conditions, { type, status: 'True', reason: 'Enough' }, at);
  const message = `${used} of ${all} addresses are allocated; ${remedy}`;
  return withCondition(context.conditions, { type, status: 'False', reason: level.reason, message }, at);
}

const byAddress = (one: string, other: string): number => addresses.addressOf(one) - addresses.addressOf(other);

/** Answers with the addresses after the given one, in order, each with its owner. */
export function listAddresses({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'network.addresses');
  return [reply(event.meta.commandId ?? '', addressPage(context.subnets, rows<Owner>(event, 'owner'), event.after))];
}

/** One answer to a command that lists addresses. @param after the last address of the answer before */
export function addressPage(
  subnets: NetworkContext['subnets'],
  owners: Readonly<Record<string, Owner>>,
  after: string | null,
) {
  const from = after === null ? -1 : addresses.addressOf(after);
  const wanted = Object.keys(owners)
    .filter((address) => addresses.addressOf(address) > from)
    .sort(byAddress);
  const page = wanted.slice(0, addressesAtOnce);
  const listed = page.map((address) => ({ address, mac: owners[address]?.mac, owner: owners[address]?.port }));
  const next = wanted.length > page.length ? page.at(-1) : null;
  return { ...utilisation({ subnets }), addresses: listed, next };
}

export function verifyAddresses({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'network.verify');
  const problems = problemsOf(context, {
    owners: rows<Owner>(event, 'owner'),
    ports: rows<Held>(event, 'port'),
    macs: rows<string>(event, 'mac'),
    blocks: rows<Block>(event, 'block'),
    besides: rows<Beside>(event, 'beside'),
    names: rows<string>(event, 'name'),
  });
  return [reply(event.meta.commandId ?? '', { ...utilisation(context), ports: context.ports, problems })];
}

interface AddressRows {
  readonly owners: Readonly<Record<string, Owner>>;
  readonly ports: Readonly<Record<string, Held>>;
  readonly macs: Readonly<Record<string, string>>;
  readonly blocks: Readonly<Record<string, Block>>;
  readonly besides: Readonly<Record<string, Beside>>;
  readonly names: Readonly<Record<string, string>>;
}

/** One sentence for each disagreement; none when everything agrees. */
export function problemsOf(context: Pick<NetworkContext, 'subnets' | 'ports'>, rowsOf: AddressRows): readonly string[] {
  const { owners, ports, macs, blocks, besides } = rowsOf;
  const { subnets, ports: counted } = context;
  const problems: string[] = besideProblems(rowsOf);
  for (const [address, { port, mac, pair }] of Object.entries(owners)) {
    const held = pair === true ? { address, mac: besides[port]?.pairs[address] ?? 'none' } : ports[port];
    if (held?.address !== address)
      problems.push(`${address} is allocated to ${port}, which has ${held?.address ?? 'none'}`);
    else if (held.mac !== mac) problems.push(`${address} of ${port} has the MAC ${mac} here and ${held.mac} there`);
    if (ipam.subnetWith(subnets, addresses.addressOf(address)) === undefined)
      problems.push(`${address} of ${port} is in no subnet`);
    if (!hasBit(blocks, address)) problems.push(`${address} of ${port} is marked as free`);
  }
  for (const [port, { address, mac }] of Object.entries(ports)) {
    const owner = owners[address]?.port;
    if (owner !== port) problems.push(`${port} has ${address}, which is allocated to ${owner ?? 'nobody'}`);
    const isDeclared = mac !== addresses.macOf(addresses.addressOf(address));
    if (isDeclared && macs[mac] !== port)
      problems.push(`${port} has ${mac}, which is allocated to ${macs[mac] ?? 'nobody'}`);
  }
  for (const [mac, port] of Object.entries(macs))
    if (ports[port]?.mac !== mac && !Object.values(besides[port]?.pairs ?? {}).includes(mac))
      problems.push(`${mac} is allocated to ${port}, which does not have it`);
  for (const leaked of markedIn(blocks))
    if (owners[leaked] === undefined) problems.push(`${leaked} is marked, and nobody has it`);
  const { used, outside } = utilisation(context);
  const number = Object.keys(ports).length;
  if (counted !== number) problems.push(`${counted} ports are counted, and there are ${number}`);
  if (used + outside !== Object.keys(owners).length)
    problems.push(`${used + outside} addresses are counted, and there are ${Object.keys(owners).length}`);
  return problems;
}

/** Of what ports have beside their addresses. */
function besideProblems({ owners, ports, besides, names }: AddressRows): string[] {
  const problems: string[] = [];
  for (const [port, { pairs, dnsName }] of Object.entries(besides)) {
    if (ports[port] === undefined) problems.push(`${port} has address pairs or a DNS name, and no address`);
    for (const address of Object.keys(pairs))
      if (owners[address]?.port !== port)
        problems.push(`${port} has the pair ${address}, which is allocated to ${owners[address]?.port ?? 'nobody'}`);
    if (dnsName !== null && names[dnsName] !== port)
      problems.push(`${port} has the name ${dnsName}, which is that of ${names[dnsName] ?? 'nobody'}`);
  }
  for (const [name, port] of Object.entries(names))
    if (besides[port]?.dnsName !== name) problems.push(`${name} is the name of ${port}, which does not have it`);
  return problems;
}

const hasBit = (blocks: AddressRows['blocks'], address: string): boolean => {
  const at = addresses.addressOf(address);
  return addresses.hasBit(blocks[addresses.blockOf(at)]?.used ?? addresses.emptyBits, at & 255);
};

function markedIn(blocks: AddressRows['blocks']): readonly string[] {
  return Object.entries(blocks).flatMap(([block, { used }]) => {
    const offsets = Array.from({ length: 256 }, (_, offset) => offset).filter((offset) =>
      addresses.hasBit(used, offset),
    );
    return offsets.map((offset) => addresses.formatAddress(addresses.blockBase(block) + offset));
  });
}

/**
 * The firewall of one VPC namespace, changed and read through its NamespaceLink: skeleton (the fixed tables), chains of
 * networks, elements of ports. Called by segment-making.ts and tap-wiring.ts. Promise: every change is one nft
 * transaction that also raises the generation; what a read returns comes from the kernel.
 */
import type { SubnetSpec } from '@photoncloud/machines/values/wiring';
import type { NamespaceLink } from '../namespace-link.ts';
import { runProgram } from '../program.ts';
import { firewallErrors } from './firewall-errors.ts';
import {
  clientElements,
  ingressChain,
  ingressElement,
  ingressKey,
  ingressStatements,
  macElement,
  skeleton,
  spoofElement,
} from './firewall-rules.ts';
import type { PortIdentity } from './firewall-rules.ts';

/** The last generation this process wrote per namespace, so that raising it needs no read. */
const generations = new WeakMap<NamespaceLink, number>();

async function commit(link: NamespaceLink, what: string, statements: readonly string[]): Promise<number> {
  const last = generations.get(link) ?? (await readGeneration(link)) ?? 0;
  const next = Math.max(last, generations.get(link) ?? 0) + 1;
  generations.set(link, next);
  await link.nft(
    what,
    [...statements, 'flush set inet photon generation', `add element inet photon generation { ${next} }`],
    firewallErrors,
  );
  return next;
}

/** The generation in the kernel; null when the skeleton is not loaded. */
export async function readGeneration(link: NamespaceLink): Promise<number | null> {
  const printed = await link.nftRead('list set inet photon generation');
  const match = printed === null ? null : /elements = \{ (0x[0-9a-f]+|\d+) \}/.exec(printed);
  return match === null ? null : Number(match[1]);
}

/** @returns true when the skeleton was missing and this call loaded it. */
export async function ensureSkeleton(link: NamespaceLink, namespace: string): Promise<boolean> {
  if ((await readGeneration(link)) !== null) return false;
  await runProgram({
    program: 'nsenter',
    args: [`--net=/run/netns/${namespace}`, 'nft', '-f', '-'],
    input: skeleton,
    what: `loading the firewall of ${namespace}`,
    rules: firewallErrors,
  });
  generations.set(link, 1);
  return true;
}

export async function setNetworkRules(
  link: NamespaceLink,
  bridge: string,
  subnets: readonly SubnetSpec[],
): Promise<void> {
  await commit(link, `setting the ingress rules of ${bridge}`, ingressStatements(bridge, subnets));
}

/** The ingress chain of the network as the kernel prints it; null when there is none. */
export const readNetworkRules = (link: NamespaceLink, bridge: string): Promise<string | null> =>
  link.nftRead(`list chain inet sg ${ingressChain(bridge)}`);

export async function removeNetworkRules(link: NamespaceLink, bridge: string): Promise<void> {
  if ((await readNetworkRules(link, bridge)) === null) return;
  const chain = `inet sg ${ingressChain(bridge)}`;
  await commit(link, `removing the ingress rules of ${bridge}`, [`flush chain ${chain}`, `delete chain ${chain}`]);
}

/** Lets the port send with its own MAC and address, and applies the ingress chain of its network to its address. */
export async function admitPort(link: NamespaceLink, port: PortIdentity, bridge: string): Promise<void> {
  const what = `admitting ${port.tap} as ${port.address}`;
  const key = ingressKey(port.address);
  // A removed port may have left the address mapped to another network's chain; the same transaction replaces it.
  const stale = await link.nftRead(`get element ${key}`);
  const replaces = stale !== null && !stale.includes(`goto ${ingressChain(bridge)}`);
  await commit(link, what, [
    `add element ${macElement(port)}`,
    `add element ${spoofElement(port)}`,
    ...clientElements(port).map((element) => `add element ${element}`),
    ...(replaces ? [`delete element ${key}`] : []),
    `add element ${ingressElement(port.address, bridge)}`,
  ]);
}

/** @param keepsAddress another port has the address by now, so only the elements of this tap are removed. */
export async function dismissPort(link: NamespaceLink, port: PortIdentity, keepsAddress: boolean): Promise<void> {
  const own = [macElement(port), spoofElement(port), ...clientElements(port)];
  const elements = [...own, ...(keepsAddress ? [] : [ingressKey(port.address)])];
  const present = await Promise.all(elements.map((element) => link.nftRead(`get element ${element}`)));
  const removals = elements.filter((_, index) => present[index] !== null).map((element) => `delete element ${element}`);
  if (removals.length > 0) await commit(link, `dismissing ${port.tap}`, removals);
}

/** Whether all elements of the port are in the kernel, and the generation they were read at. */
export async function readPort(
  link: NamespaceLink,
  port: PortIdentity,
  bridge: string,
): Promise<{ admitted: boolean; generation: number }> {
  const own = [macElement(port), spoofElement(port), ...clientElements(port)];
  const [ingress, generation, ...present] = await Promise.all([
    link.nftRead(`get element ${ingressKey(port.address)}`),
    readGeneration(link),
    ...own.map((element) => link.nftRead(`get element ${element}`)),
  ]);
  const speaks = present.every((one) => one !== null);
  const admitted = speaks && ingress !== null && ingress.includes(`goto ${ingressChain(bridge)}`);
  return { admitted, generation: generation ?? 0 };
}

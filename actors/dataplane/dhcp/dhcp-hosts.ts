/**
 * The DHCP host entries of a network: one file per address in the hosts folder of its dnsmasq, which reads the folder
 * at its start and whenever it is told to (dhcp-server.ts). The files are desired state, not leases: they may be
 * rewritten at any time, and a restarted dnsmasq reads them again. A file also names the tap that has the address on
 * this host; tap-wiring.ts and tap-removal.ts check this before they change anything that is keyed by an address.
 *
 * A running dnsmasq remembers the leases it gave, until they expire, also those of entries that are gone: an address
 * that it remembers for one MAC it gives to no other. Therefore an entry that goes is kept beside the others, among the
 * retired ones, for as long as that process lives. An address that is to go to another MAC than the retired one makes
 * dhcp-server.ts start dnsmasq anew, without its memory.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { AddressPair } from '@photoncloud/machines/values/wiring';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { isAddress } from '../wiring-checks.ts';
import { hostLine, hostText, standbyMark } from './dhcp-config.ts';
import type { DhcpHost } from './dhcp-config.ts';

/** The folder of a network's dnsmasq. */
export const dhcpFolderOf = (dhcpFolder: string, namespace: string, bridge: string): string =>
  path.join(dhcpFolder, namespace, bridge);
export const hostsFolder = (folder: string): string => path.join(folder, 'hosts');
const retiredFolder = (folder: string): string => path.join(folder, 'retired');

async function listed(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError(`listing ${folder}`, error);
  }
}

/** Folders of the networks that are served in this namespace. */
export const listDhcpFolders = async (dhcpFolder: string, namespace: string): Promise<string[]> =>
  (await listed(path.join(dhcpFolder, namespace))).sort().map((bridge) => dhcpFolderOf(dhcpFolder, namespace, bridge));

export async function ensureHostsFolder(folder: string): Promise<void> {
  const hosts = hostsFolder(folder);
  try {
    await mkdir(retiredFolder(folder), { recursive: true });
    await mkdir(hosts, { recursive: true });
    // dnsmasq must be able to read the folders whatever our umask is.
    for (const one of [hosts, ...[1, 2, 3, 4].map((up) => path.resolve(hosts, ...Array<string>(up).fill('..')))])
      await chmod(one, 0o755);
  } catch (error) {
    throw fileError(`making ${hosts}`, error);
  }
}

interface Entry {
  readonly tap: string;
  readonly line: string;
  readonly pairs: readonly AddressPair[];
  /** The tap stands by: another host has the address. */
  readonly standby: boolean;
}

const pairPattern = /^# pair (\S+) (\S+)$/;

/** Inverse of `hostText`. */
function entryOf(text: string): Entry {
  const [first = '', line = '', ...rest] = text.split('\n');
  const pairs = rest.flatMap((one) => {
    const [, address = '', mac = ''] = pairPattern.exec(one) ?? [];
    return address === '' ? [] : [{ address, mac }];
  });
  return { tap: first.replace('# ', ''), line, pairs, standby: rest.includes(standbyMark) };
}

async function readEntry(folder: string, address: string): Promise<Entry | null> {
  try {
    return entryOf(await readFile(path.join(folder, address), 'utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(`reading the DHCP host of ${address}`, error);
  }
}

/** The tap that has the address and its host line; null when no tap has it. */
export const readDhcpHost = (folder: string, address: string): Promise<Entry | null> =>
  readEntry(hostsFolder(folder), address);

export const macOfLine = (line: string): string => line.split(',')[0] ?? '';

/** Whether the running dnsmasq may remember the address for another MAC than that of its entry. */
export async function remembersOther(folder: string, address: string, mac: string): Promise<boolean> {
  const retired = await readEntry(retiredFolder(folder), address);
  return retired !== null && macOfLine(retired.line) !== mac;
}

/** A dnsmasq without memory is about to start. */
export async function forgetRetired(folder: string): Promise<void> {
  for (const address of await listed(retiredFolder(folder)))
    await rm(path.join(retiredFolder(folder), address), { force: true });
}

async function retire(folder: string, address: string, { line }: Entry): Promise<void> {
  const file = path.join(hostsFolder(folder), address);
  // dnsmasq was to forget the earlier one before this entry was served: the earlier one is what it remembers.
  if (await remembersOther(folder, address, macOfLine(line))) await rm(file, { force: true });
  else await rename(file, path.join(retiredFolder(folder), address));
}

const isSame = (some: readonly AddressPair[], others: readonly AddressPair[]): boolean =>
  JSON.stringify(some.map(({ address, mac }) => [address, mac])) ===
  JSON.stringify(others.map(({ address, mac }) => [address, mac]));

const isUnchanged = ({ tap, line, pairs, standby }: Entry, host: DhcpHost): boolean =>
  tap === host.tap && line === hostLine(host) && isSame(pairs, host.pairs) && standby === (host.standby ?? false);

/** @returns false when the same entry already existed. */
export async function writeDhcpHost(folder: string, host: DhcpHost): Promise<boolean> {
  const { address, mac } = host;
  const actual = await readDhcpHost(folder, address);
  const text = hostText(host);
  if (actual !== null && isUnchanged(actual, host)) return false;
  const hosts = hostsFolder(folder);
  // dnsmasq ignores names that begin with a dot, so it reads complete files only.
  const fresh = path.join(hosts, `.${address}`);
  try {
    await writeFile(fresh, text);
    await chmod(fresh, 0o644);
    if (actual !== null && macOfLine(actual.line) !== mac) await retire(folder, address, actual);
    await rename(fresh, path.join(hosts, address));
  } catch (error) {
    throw fileError(`writing the DHCP host of ${address}`, error);
  }
  return true;
}

export async function deleteDhcpHost(folder: string, address: string): Promise<void> {
  const actual = await readDhcpHost(folder, address);
  if (actual === null) return;
  try {
    await retire(folder, address, actual);
  } catch (error) {
    throw fileError(`removing the DHCP host of ${address}`, error);
  }
}

/** Addresses that ports of this network have on this host. */
export const listDhcpHosts = async (folder: string): Promise<string[]> =>
  (await listed(hostsFolder(folder))).filter(isAddress);

/** Address -> its entry, of all networks of a namespace. */
export async function readDhcpHosts(dhcpFolder: string, namespace: string): Promise<Map<string, Entry & Placed>> {
  const found = new Map<string, Entry & Placed>();
  for (const folder of await listDhcpFolders(dhcpFolder, namespace)) {
    for (const address of await listDhcpHosts(folder)) {
      const entry = await readDhcpHost(folder, address);
      if (entry !== null) found.set(address, { ...entry, folder });
    }
  }
  return found;
}

export interface Holding {
  readonly address: string;
  readonly tap: string;
  readonly standby: boolean;
}

/** What taps of a namespace have by their entries, their pairs included; for a while two may have the same. */
export async function readHoldings(dhcpFolder: string, namespace: string): Promise<readonly Holding[]> {
  const entries = await readDhcpHosts(dhcpFolder, namespace);
  return [...entries].flatMap(([own, { tap, pairs, standby }]) =>
    [own, ...pairs.map(({ address }) => address)].map((address) => ({ address, tap, standby })),
  );
}

interface Placed {
  /** Of the dnsmasq that serves it. */
  readonly folder: string;
}

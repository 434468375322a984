/**
 * The DHCP host entries of a namespace: one file per address in dnsmasq's hosts folder, which dnsmasq watches by
 * inotify. The files are desired state, not leases: they may be rewritten at any time, and a restarted dnsmasq reads
 * them again. A file also names the tap that has the address on this host; tap-wiring.ts and tap-removal.ts check this
 * before they change anything that is keyed by an address.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { isAddress } from '../wiring-checks.ts';
import { hostText } from './dhcp-config.ts';
import type { DhcpHost } from './dhcp-config.ts';

export const hostsFolder = (dhcpFolder: string, namespace: string): string => path.join(dhcpFolder, namespace, 'hosts');

const fileOf = (folder: string, address: string): string => path.join(folder, address);

export async function ensureHostsFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    // dnsmasq must be able to read the folders whatever our umask is.
    for (const one of [folder, ...[1, 2, 3].map((up) => path.resolve(folder, ...Array<string>(up).fill('..')))])
      await chmod(one, 0o755);
  } catch (error) {
    throw fileError(`making ${folder}`, error);
  }
}

/** The tap that has the address and its host line; null when no tap has it. */
export async function readDhcpHost(folder: string, address: string): Promise<{ tap: string; line: string } | null> {
  try {
    const [first = '', line = ''] = (await readFile(fileOf(folder, address), 'utf8')).split('\n');
    return { tap: first.replace('# ', ''), line };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(`reading the DHCP host of ${address}`, error);
  }
}

/** @returns false when the same entry already existed. */
export async function writeDhcpHost(folder: string, host: DhcpHost): Promise<boolean> {
  const actual = await readDhcpHost(folder, host.address);
  const text = hostText(host);
  if (actual !== null && text === `# ${actual.tap}\n${actual.line}\n`) return false;
  // dnsmasq ignores names that begin with a dot, and sees the rename as one complete new file.
  const fresh = path.join(folder, `.${host.address}`);
  try {
    await writeFile(fresh, text);
    await chmod(fresh, 0o644);
    await rename(fresh, fileOf(folder, host.address));
  } catch (error) {
    throw fileError(`writing the DHCP host of ${host.address}`, error);
  }
  return true;
}

export async function deleteDhcpHost(folder: string, address: string): Promise<void> {
  try {
    await rm(fileOf(folder, address), { force: true });
  } catch (error) {
    throw fileError(`removing the DHCP host of ${address}`, error);
  }
}

/** Addresses that ports of this VPC have on this host. */
export async function listDhcpHosts(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter(isAddress);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError(`listing ${folder}`, error);
  }
}

/**
 * One dnsmasq per network of a VPC: detached, unprivileged, found again by its pidfile and command line after our own
 * death. It hears only its own bridge, so nothing that a guest of another network sends reaches it. It is restarted
 * when its configuration changes, and when an address goes to another MAC (see dhcp-hosts.ts), in some ten
 * milliseconds; other hosts come and go without a restart. Called by networks-section.ts and tap operations, under the
 * lock `dhcp <folder>`. Promise: at most one per network; ports never wait for leases, there is no lease file.
 */
import { chmod, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { awaitGone, commandLineOf, identifyProcess, interfacesOf } from '../process-lookup.ts';
import { readPidFile, signalProcess } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { runProgram } from '../program.ts';
import { configText, networkIn } from './dhcp-config.ts';
import type { DhcpNetwork } from './dhcp-config.ts';
import { dhcpErrors } from './dhcp-errors.ts';
import { ensureHostsFolder, forgetRetired, hostsFolder, listDhcpFolders } from './dhcp-hosts.ts';

const pidFileOf = (folder: string): string => path.join(folder, 'dnsmasq.pid');
const stopGraceMs = 1000;
let account: string | undefined;

/** Debian's dnsmasq-base makes the user `dnsmasq`; on other hosts dnsmasq runs as `nobody`. */
async function dnsmasqAccount(): Promise<string> {
  account ??= /^dnsmasq:/m.test(await readFile('/etc/passwd', 'utf8')) ? 'dnsmasq' : 'nobody';
  return account;
}

/** The running dnsmasq of this network and the configuration file it was started with; null when there is none. */
export async function readDhcpServer(folder: string): Promise<(ProcessIdentity & { config: string }) | null> {
  const pid = await readPidFile(pidFileOf(folder));
  if (pid === null) return null;
  const [identity, words] = await Promise.all([identifyProcess(pid), commandLineOf(pid)]);
  const config = words.find((word) => word.startsWith('--conf-file='))?.slice('--conf-file='.length);
  const ours = config !== undefined && path.dirname(config) === folder;
  return identity === null || !ours ? null : { ...identity, config };
}

/** Interfaces of a namespace, read through one of its dnsmasqs; null without one, and when it has just ended. */
export async function readInterfaces(dhcpFolder: string, namespace: string): Promise<ReadonlySet<string> | null> {
  for (const folder of await listDhcpFolders(dhcpFolder, namespace)) {
    const server = await readDhcpServer(folder);
    const names = server === null ? null : await interfacesOf(server.pid);
    if (names !== null && names.size > 0) return names;
  }
  return null;
}

/** The configuration as text and its file. The name tells the content: a running server shows what it serves. */
async function configOf(folder: string, network: DhcpNetwork) {
  const text = configText(network, hostsFolder(folder), await dnsmasqAccount());
  return { text, file: path.join(folder, `dnsmasq-${hashName(text, 16)}.conf`) };
}

/** The id of the network that is, or was, served from this folder, as its configuration says. */
export async function readServedNetwork(folder: string): Promise<string | undefined> {
  try {
    const file = (await readdir(folder)).find((name) => name.endsWith('.conf'));
    return file === undefined ? undefined : networkIn(await readFile(path.join(folder, file), 'utf8'));
  } catch (error) {
    throw fileError(`reading ${folder}`, error);
  }
}

/** The pid of the server, 0 without one, and what differs from this network being served. */
export async function readDhcpService(
  folder: string,
  network: DhcpNetwork,
): Promise<{ readonly pid: number; readonly drift: readonly string[] }> {
  const server = await readDhcpServer(folder);
  const { file } = await configOf(folder, network);
  if (server === null) return { pid: 0, drift: [`no dnsmasq of ${network.network.network}`] };
  const isCurrent = server.config === file;
  return {
    pid: server.pid,
    drift: isCurrent ? [] : [`dnsmasq of ${network.network.network} runs with an older configuration`],
  };
}

/** @throws fault `dnsmasq_failed`; defeat `dnsmasq_refused` */
export async function ensureDhcpServer(folder: string, namespace: string, network: DhcpNetwork): Promise<void> {
  await ensureHostsFolder(folder);
  const { text, file } = await configOf(folder, network);
  if ((await readDhcpServer(folder))?.config === file) return;
  try {
    await writeFile(`${file}.new`, text);
    await chmod(`${file}.new`, 0o644);
    await rename(`${file}.new`, file);
    for (const name of await readdir(folder))
      if (name.endsWith('.conf') && path.join(folder, name) !== file) await rm(path.join(folder, name));
  } catch (error) {
    throw fileError(`writing ${file}`, error);
  }
  await startServer(folder, namespace, file);
}

/** Starts the server with this configuration and without memory; one that runs is stopped before. */
async function startServer(folder: string, namespace: string, config: string): Promise<void> {
  const running = await readDhcpServer(folder);
  if (running !== null) await stopServer(running);
  try {
    await forgetRetired(folder);
    await rm(pidFileOf(folder), { force: true });
  } catch (error) {
    throw fileError(`preparing ${folder}`, error);
  }
  await runProgram({
    program: 'nsenter',
    what: `starting dnsmasq in ${namespace}`,
    rules: dhcpErrors,
    args: [`--net=/run/netns/${namespace}`, 'dnsmasq', `--conf-file=${config}`, `--pid-file=${pidFileOf(folder)}`],
  });
  if ((await readDhcpServer(folder)) === null)
    throw new PhotonError('fault', 'dnsmasq_failed', `dnsmasq in ${namespace} ended right after its start; try again.`);
}

/** Makes dnsmasq forget the leases it has given; the entries it reads again. */
export async function restartDhcpServer(folder: string, namespace: string): Promise<void> {
  const server = await readDhcpServer(folder);
  if (server === null) await forgetRetired(folder);
  else await startServer(folder, namespace, server.config);
}

async function stopServer(server: ProcessIdentity): Promise<void> {
  await signalProcess(server, 'SIGTERM');
  if (await awaitGone(server, stopGraceMs)) return;
  await signalProcess(server, 'SIGKILL');
  if (await awaitGone(server, stopGraceMs)) return;
  throw new PhotonError('fault', 'dnsmasq_stuck', `dnsmasq ${server.pid} survived SIGKILL; look at the host.`);
}

/** Makes dnsmasq read all host entries again; it does so in a moment. */
export async function refreshDhcpServer(folder: string): Promise<void> {
  const server = await readDhcpServer(folder);
  if (server !== null) await signalProcess(server, 'SIGHUP');
}

/** Stops the server and removes its folder. */
export async function removeDhcpServer(folder: string): Promise<void> {
  const server = await readDhcpServer(folder);
  if (server !== null) await stopServer(server);
  await removeFolder(folder);
}

/** Of a namespace, once none of its networks is served. */
export const removeDhcpFolder = (dhcpFolder: string, namespace: string): Promise<void> =>
  removeFolder(path.join(dhcpFolder, namespace));

async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch (error) {
    throw fileError(`removing ${folder}`, error);
  }
}

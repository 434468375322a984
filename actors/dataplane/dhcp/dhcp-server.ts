/**
 * One dnsmasq per VPC namespace: detached, unprivileged, found again by its pidfile and command line after our own
 * death. The part of its configuration that a network is lies in a file of its own, `networks/<bridge>`, so that one
 * network can change without the others being named. It is restarted only when its configuration changes, in some ten
 * milliseconds; hosts come and go through dhcp-hosts.ts without a restart. Called by networks-section.ts and tap
 * operations. Promise: at most one per namespace; ports never wait for leases, there is no lease file.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { awaitGone, commandLineOf, readPidFile, identifyProcess, signalProcess } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { runProgram } from '../program.ts';
import { configText, networkText } from './dhcp-config.ts';
import type { DhcpNetwork } from './dhcp-config.ts';
import { dhcpErrors } from './dhcp-errors.ts';
import { ensureHostsFolder, hostsFolder } from './dhcp-hosts.ts';

const pidFileOf = (dhcpFolder: string, namespace: string): string => path.join(dhcpFolder, namespace, 'dnsmasq.pid');
const stopGraceMs = 1000;
let account: string | undefined;

/** Debian's dnsmasq-base makes the user `dnsmasq`; on other hosts dnsmasq runs as `nobody`. */
async function dnsmasqAccount(): Promise<string> {
  account ??= /^dnsmasq:/m.test(await readFile('/etc/passwd', 'utf8')) ? 'dnsmasq' : 'nobody';
  return account;
}

/** The running dnsmasq of this namespace and the configuration file it was started with; null when there is none. */
export async function readDhcpServer(
  dhcpFolder: string,
  namespace: string,
): Promise<(ProcessIdentity & { config: string }) | null> {
  const pid = await readPidFile(pidFileOf(dhcpFolder, namespace));
  if (pid === null) return null;
  const [identity, words] = await Promise.all([identifyProcess(pid), commandLineOf(pid)]);
  const config = words.find((word) => word.startsWith('--conf-file='))?.slice('--conf-file='.length);
  const ours = config !== undefined && path.dirname(config) === path.join(dhcpFolder, namespace);
  return identity === null || !ours ? null : { ...identity, config };
}

const networksFolder = (dhcpFolder: string, namespace: string): string => path.join(dhcpFolder, namespace, 'networks');

/** Bridge -> its part of the configuration; null when networks were never set here. */
export async function readDhcpNetworks(
  dhcpFolder: string,
  namespace: string,
): Promise<ReadonlyMap<string, string> | null> {
  const folder = networksFolder(dhcpFolder, namespace);
  try {
    const bridges = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
    const texts = await Promise.all(bridges.map((bridge) => readFile(path.join(folder, bridge), 'utf8')));
    return new Map(bridges.map((bridge, index) => [bridge, texts[index] ?? '']));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(`reading ${folder}`, error);
  }
}

/** @param isStale of a bridge that is not among `networks`: it goes. @returns what is there afterwards */
async function writeNetworks(
  dhcpFolder: string,
  namespace: string,
  networks: readonly DhcpNetwork[],
  isStale: (bridge: string) => boolean,
): Promise<ReadonlyMap<string, string>> {
  const folder = networksFolder(dhcpFolder, namespace);
  const actual = await readDhcpNetworks(dhcpFolder, namespace);
  const wanted = new Map(networks.map((network) => [network.bridge, networkText(network)]));
  const next = new Map([...(actual ?? [])].filter(([bridge]) => wanted.has(bridge) || !isStale(bridge)));
  try {
    if (actual === null) await mkdir(folder, { recursive: true });
    for (const bridge of actual?.keys() ?? []) if (!next.has(bridge)) await rm(path.join(folder, bridge));
    for (const [bridge, text] of wanted) {
      next.set(bridge, text);
      if (actual?.get(bridge) === text) continue;
      const fresh = path.join(folder, `.${bridge}`);
      await writeFile(fresh, text);
      await rename(fresh, path.join(folder, bridge));
    }
  } catch (error) {
    throw fileError(`writing ${folder}`, error);
  }
  return new Map([...next].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The configuration as text and its file. The name tells the content: a running server shows what it serves. */
async function configOf(dhcpFolder: string, namespace: string, networks: ReadonlyMap<string, string>) {
  const text = configText([...networks.values()], hostsFolder(dhcpFolder, namespace), await dnsmasqAccount());
  return { text, file: path.join(dhcpFolder, namespace, `dnsmasq-${hashName(text, 16)}.conf`) };
}

/** The pid of the server, 0 without one, and what differs from these networks being served. */
export async function readDhcpService(
  dhcpFolder: string,
  namespace: string,
  networks: readonly DhcpNetwork[],
): Promise<{ readonly pid: number; readonly drift: readonly string[] }> {
  const [actual, server] = await Promise.all([
    readDhcpNetworks(dhcpFolder, namespace),
    readDhcpServer(dhcpFolder, namespace),
  ]);
  const pid = server?.pid ?? 0;
  const missing = networks.filter((network) => actual?.get(network.bridge) !== networkText(network));
  if (missing.length > 0)
    return { pid, drift: missing.map(({ network }) => `no DHCP configuration of ${network.network}`) };
  if (actual === null || actual.size === 0) return { pid, drift: [] };
  if (server === null) return { pid, drift: ['no dnsmasq'] };
  const { file } = await configOf(dhcpFolder, namespace, actual);
  return { pid, drift: server.config === file ? [] : ['dnsmasq runs with an older configuration'] };
}

/**
 * Serves these networks, and of the others those that are not stale; without any no server is left.
 * @throws fault `dnsmasq_failed`; defeat `dnsmasq_refused`
 */
export async function ensureDhcpServer(
  dhcpFolder: string,
  namespace: string,
  networks: readonly DhcpNetwork[],
  isStale: (bridge: string) => boolean,
): Promise<void> {
  await ensureHostsFolder(hostsFolder(dhcpFolder, namespace));
  const served = await writeNetworks(dhcpFolder, namespace, networks, isStale);
  const { text, file: config } = await configOf(dhcpFolder, namespace, served);
  const running = await readDhcpServer(dhcpFolder, namespace);
  if (running !== null && running.config === config && served.size > 0) return;
  if (running !== null) await stopServer(running);
  if (running !== null && running.config !== config) await rm(running.config, { force: true });
  if (served.size === 0) return;
  try {
    await writeFile(`${config}.new`, text);
    await chmod(`${config}.new`, 0o644);
    await rename(`${config}.new`, config);
    await rm(pidFileOf(dhcpFolder, namespace), { force: true });
  } catch (error) {
    throw fileError(`writing ${config}`, error);
  }
  await runProgram({
    program: 'nsenter',
    what: `starting dnsmasq in ${namespace}`,
    rules: dhcpErrors,
    args: [
      `--net=/run/netns/${namespace}`,
      'dnsmasq',
      `--conf-file=${config}`,
      `--pid-file=${pidFileOf(dhcpFolder, namespace)}`,
    ],
  });
  if ((await readDhcpServer(dhcpFolder, namespace)) === null)
    throw new PhotonError('fault', 'dnsmasq_failed', `dnsmasq in ${namespace} ended right after its start; try again.`);
}

async function stopServer(server: ProcessIdentity): Promise<void> {
  await signalProcess(server, 'SIGTERM');
  if (await awaitGone(server, stopGraceMs)) return;
  await signalProcess(server, 'SIGKILL');
  if (await awaitGone(server, stopGraceMs)) return;
  throw new PhotonError('fault', 'dnsmasq_stuck', `dnsmasq ${server.pid} survived SIGKILL; look at the host.`);
}

/** Makes dnsmasq read all host entries again: inotify shows it new files, but not that a file was removed. */
export async function refreshDhcpServer(dhcpFolder: string, namespace: string): Promise<void> {
  const server = await readDhcpServer(dhcpFolder, namespace);
  if (server !== null) await signalProcess(server, 'SIGHUP');
}

/** Stops the server and removes its folder. */
export async function removeDhcpServer(dhcpFolder: string, namespace: string): Promise<void> {
  const server = await readDhcpServer(dhcpFolder, namespace);
  if (server !== null) await stopServer(server);
  try {
    await rm(path.join(dhcpFolder, namespace), { recursive: true, force: true });
  } catch (error) {
    throw fileError(`removing the DHCP folder of ${namespace}`, error);
  }
}

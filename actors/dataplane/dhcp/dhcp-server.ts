/**
 * One dnsmasq per VPC namespace: detached, unprivileged, and found again by its pidfile and command line after the
 * worker restarts. It is restarted only when its configuration changes; host entries are added and removed through
 * dhcp-hosts.ts without a restart. Called by segment-making.ts and the tap operations. Promise: at most one dnsmasq per
 * namespace. There is no lease file, so no port waits for another port's lease to expire.
 */
import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { awaitGone, commandLineOf, readPidFile, identifyProcess, signalProcess } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { runProgram } from '../program.ts';
import { configText } from './dhcp-config.ts';
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

/** @returns the pid; 0 when there is no network. @throws fault `dnsmasq_failed`; defeat `dnsmasq_refused` */
export async function ensureDhcpServer(
  dhcpFolder: string,
  namespace: string,
  networks: readonly DhcpNetwork[],
): Promise<number> {
  const folder = path.join(dhcpFolder, namespace);
  const hosts = hostsFolder(dhcpFolder, namespace);
  await ensureHostsFolder(hosts);
  const text = configText(networks, hosts, await dnsmasqAccount());
  // The file name contains a hash of the content: the command line of a running server tells whether it is up to date.
  const config = path.join(folder, `dnsmasq-${hashName(text, 16)}.conf`);
  const running = await readDhcpServer(dhcpFolder, namespace);
  if (running !== null && running.config === config && networks.length > 0) return running.pid;
  if (running !== null) await stopServer(running);
  if (running !== null && running.config !== config) await rm(running.config, { force: true });
  if (networks.length === 0) return 0;
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
  const started = await readDhcpServer(dhcpFolder, namespace);
  if (started === null)
    throw new PhotonError('fault', 'dnsmasq_failed', `dnsmasq in ${namespace} ended right after its start; try again.`);
  return started.pid;
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

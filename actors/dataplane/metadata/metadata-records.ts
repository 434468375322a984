/**
 * What the metadata service may tell, as files. A run keeps a record for each of its taps in its own folder, which only
 * root reads; its user data is on its seed disk alone. Where the tap's VPC has the service, both are copied for the
 * address that the tap has into the folder that the service reads: so a service never reads what is of another VPC.
 * Called by qemu-start.ts (`keepRecords`), tap/ (`publishRecord`, `withdrawRecord`) and metadata-section.ts.
 */
import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { IncarnationNic, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readDhcpHosts } from '../dhcp/dhcp-hosts.ts';
import { listRuns } from '../hypervisor/qemu-folder.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { givenText } from '../seed/seed-disk.ts';
import { listFolder } from '../storage-files.ts';
import type { GuestRecord } from './metadata-answers.ts';
import { serviceUid } from './metadata-server.ts';

/** The folder of a namespace's service; it exists while the VPC has one on this host. */
export const serviceFolder = ({ folders }: DataplaneSite, namespace: string): string =>
  path.join(folders.metadata, namespace);

const recordOf = (runFolder: string, tap: string): string => path.join(runFolder, `metadata-${tap}`);

type KeptRecord = Omit<GuestRecord, 'userData'>;

/** Called before QEMU is started, in a folder that goes with the run. */
export async function keepRecords(
  runFolder: string,
  { nics, seed }: IncarnationSpec,
  tapOf: (nic: IncarnationNic) => string,
): Promise<void> {
  if (seed === undefined) return;
  const { instanceId, hostname, sshKeys } = seed;
  try {
    for (const nic of nics) {
      const record: KeptRecord = { instanceId, hostname, sshKeys, mac: nic.mac };
      await writeFile(recordOf(runFolder, tapOf(nic)), JSON.stringify(record), { mode: 0o600 });
    }
  } catch (error) {
    throw fileError('keeping the metadata of a guest', error);
  }
}

/** The record of the newest run that has this tap; null for the tap of no VM. */
async function findRecord(site: DataplaneSite, tap: string): Promise<GuestRecord | null> {
  const found = await Promise.all(
    (await listRuns(site)).map(async ({ paths }) => {
      const at = await stat(recordOf(paths.runFolder, tap)).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      );
      return { paths, at };
    }),
  );
  const [newest] = found.filter(({ at }) => at > 0).toSorted((one, other) => other.at - one.at);
  if (newest === undefined) return null;
  const { runFolder, seed } = newest.paths;
  const kept = JSON.parse(await readFile(recordOf(runFolder, tap), 'utf8')) as KeptRecord;
  return { ...kept, userData: givenText(await readFile(seed)) };
}

/** Whether the VPC has the service on this host. */
export const servesHere = async ({ folders }: DataplaneSite, namespace: string): Promise<boolean> =>
  (await listFolder(folders.metadata)).includes(namespace);

/** The service of the tap's namespace, if it has one, knows the guest by this address from now on. */
export async function publishRecord(site: DataplaneSite, namespace: string, tap: string, address: string) {
  if (!(await servesHere(site, namespace))) return;
  const folder = serviceFolder(site, namespace);
  const record = await findRecord(site, tap);
  const file = path.join(folder, address);
  try {
    if (record === null) return await rm(file, { force: true });
    const fresh = path.join(folder, `.${address}`);
    await writeFile(fresh, JSON.stringify(record), { mode: 0o400 });
    await chown(fresh, serviceUid, serviceUid);
    await rename(fresh, file);
  } catch (error) {
    // The service has just ended.
    if (errnoOf(error) !== 'ENOENT') throw fileError(`publishing the metadata of ${address}`, error);
  }
}

export async function withdrawRecord(site: DataplaneSite, namespace: string, address: string): Promise<void> {
  await rm(path.join(serviceFolder(site, namespace), address), { force: true });
}

/** Makes the folder, with a record for each address that a tap of a VM has in the namespace, and no others. */
export async function publishRecords(site: DataplaneSite, namespace: string): Promise<void> {
  const folder = serviceFolder(site, namespace);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(path.dirname(folder), 0o755);
    await chown(folder, serviceUid, serviceUid);
  } catch (error) {
    throw fileError(`making ${folder}`, error);
  }
  const hosts = await readDhcpHosts(site.folders.dhcp, namespace);
  for (const [address, { tap }] of hosts) await publishRecord(site, namespace, tap, address);
  for (const name of await listFolder(folder)) if (!hosts.has(name)) await rm(path.join(folder, name), { force: true });
}

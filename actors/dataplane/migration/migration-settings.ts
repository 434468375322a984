/**
 * What both QEMUs of a migration are told before it begins: every capability and parameter, because they stick from an
 * earlier migration, and the key of their connections (docs/threats.md#t27). TLS with a pre-shared key authenticates
 * both ends; its session keys are made anew for each connection (docs/decisions/0019-key-of-a-migration.md).
 *
 * QEMU sees only its empty root folder, so the key is put there for the time of the migration, readable by its user.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import type { IncarnationPaths } from '../hypervisor/qemu-folder.ts';
import type { QmpClient } from '../hypervisor/qmp-client.ts';
import { readTextFile } from '../storage-files.ts';
import { keyObject, writeKeyFolder } from '../tls-key.ts';

/** Of QEMU's object with the key. */
export const keyId = 'migration';

const capabilities = {
  xbzrle: false,
  multifd: true,
  'postcopy-ram': false,
  events: true,
  // The mirrors of local volumes are ended while the guest stands still and its disks are still the source's.
  'pause-before-switchover': true,
  // The target opens disks for writing only when it is resumed.
  'late-block-activate': true,
};

/**
 * Connections for the memory, beside one for the state of devices. With a single one QEMU makes two TLS records of each
 * page, and one thread encrypts them all: the memory then takes more than twice as long (docs/decisions/0019).
 */
const memoryStreams = 2;

/** Bytes per second; QEMU's default of 128 MiB/s would make every pause longer. */
const bandwidth = 2 ** 40;

/** Tells one end. @param throttle only of the source */
export async function settle(client: QmpClient, throttle: boolean): Promise<void> {
  const wanted = { ...capabilities, 'auto-converge': throttle };
  const states = Object.entries(wanted).map(([capability, state]) => ({ capability, state }));
  await client.execute('migrate-set-capabilities', { capabilities: states });
  await client.execute('migrate-set-parameters', {
    'max-bandwidth': bandwidth,
    'multifd-channels': memoryStreams,
    'tls-creds': keyId,
  });
}

/** A guest that writes little need not stand still for longer. */
const shortDowntimeMs = 25;
/** So many passes over the memory are tried with it; each later one doubles it. */
const shortPasses = 3;

/**
 * For how long the guest may stand still while the rest of its memory is sent. QEMU stops it as soon as the rest would
 * take no longer, so with all that is allowed it would stand still for about all of that, however little it writes.
 * @param pass over the memory, 1 for the first
 */
export const downtimeLimitMs = (pass: number, mostMs: number): number =>
  Math.min(mostMs, shortDowntimeMs * 2 ** Math.max(0, pass - shortPasses));

const keyFolder = (paths: IncarnationPaths): string => path.join(paths.emptyFolder, 'tls');

/** Gives a QEMU the key of the migration; one that it had of another migration is replaced. */
export async function giveKey(
  site: DataplaneSite,
  paths: IncarnationPaths,
  client: QmpClient,
  migration: string,
  endpoint: 'server' | 'client',
): Promise<void> {
  const user = Number(await readTextFile(paths.uidFile));
  try {
    await writeKeyFolder(keyFolder(paths), site.options.migrationKey(migration), user);
  } catch (error) {
    throw fileError('giving QEMU the key of a migration', error);
  }
  await allowing(/not found/i, client.execute('object-del', { id: keyId }));
  await client.execute('object-add', keyObject(keyId, endpoint, '/tls'), 30_000);
}

/** The key is of no more use: QEMU forgets it, and the file goes. */
export async function takeKey(paths: IncarnationPaths, client: QmpClient): Promise<void> {
  await allowing(/not found|in use/i, client.execute('object-del', { id: keyId }));
  try {
    await rm(keyFolder(paths), { recursive: true, force: true });
  } catch (error) {
    throw fileError('removing the key of a migration', error);
  }
}

/** A refusal of QEMU that says that it is so already is none. */
export async function allowing(words: RegExp, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const isSo = error instanceof PhotonError && error.record.code === 'qmp_refused' && words.test(error.message);
    if (!isSo) throw error;
  }
}

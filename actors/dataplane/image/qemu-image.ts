/**
 * Runs qemu-img without rights and with limits on memory, time and file size (docs/threats.md#t9): as a user that only
 * this call has, without capabilities and without a network. It gets its files as open descriptors, by /dev/fd, which
 * the kernel opens once more with the rights of that user. So a file of which it reads must be readable for
 * `imageReaders`, and the file that it writes belongs to it meanwhile. Formats are always given: it never probes.
 * Called by copy-store.ts and replica-store.ts after image-header.ts has accepted the file. Promise: afterwards the
 * written file belongs to root again.
 */
import type { FileHandle } from 'node:fs/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import type { ErrorRule } from '../kernel-errors.ts';
import { runProgram, type ProgramResult } from '../program.ts';
import { refuseImage } from './image-errors.ts';

interface QemuImageRequest {
  /** For the error: `making volume X`. */
  readonly what: string;
  /** The file that `sourceFile` names in the arguments, open for reading. */
  readonly source?: FileHandle;
  /** The file that `targetFile` names in the arguments. Nobody else writes it meanwhile. */
  readonly target?: FileHandle;
  readonly cpuSeconds: number;
  readonly timeoutMs: number;
  readonly fileBytes: number;
  readonly rules: readonly ErrorRule[];
  /** Exit codes other than 0 that count as success. */
  readonly acceptedCodes?: readonly number[];
  readonly signal: AbortSignal;
}

export const sourceFile = '/dev/fd/3';
export const targetFile = '/dev/fd/4';

/** Below the users of guests (qemu-launch.ts). None of them is in /etc/passwd. */
const firstUid = 1_899_000_000;
/** The group of all of them: it may read copies of images, whose folder is closed to everybody but root. */
const imageReaders = 1_899_999_999;
const uidsInUse = new Set<number>();

/** A worker that is not root has no rights to take away, and no other user to become. */
const isRoot = process.getuid?.() === 0;

export async function runQemuImage(request: QemuImageRequest, args: readonly string[]): Promise<ProgramResult> {
  const { what, source, target, cpuSeconds, timeoutMs, fileBytes, rules, acceptedCodes = [], signal } = request;
  const limits = ['--as=2147483648', `--cpu=${cpuSeconds}`, `--fsize=${fileBytes}`, '--core=0'];
  const limited = ['prlimit', ...limits, 'qemu-img', ...args];
  const files = [source?.fd ?? null, target?.fd ?? null];
  const run = async ([program = '', ...more]: readonly string[]): Promise<ProgramResult> => {
    try {
      return await runProgram({
        program,
        args: more,
        files,
        long: true,
        what,
        timeoutMs,
        rules,
        acceptedCodes,
        signal,
      });
    } catch (error) {
      throw error instanceof PhotonError ? inPlainWords(error) : error;
    }
  };
  if (!isRoot) return run(limited);
  // Two calls at once must not share a user: each could change the other's process.
  let uid = firstUid;
  while (uidsInUse.has(uid)) uid += 1;
  uidsInUse.add(uid);
  try {
    await target?.chown(uid, 0);
    return await run([...withoutNetwork, 'setpriv', ...withoutRights(uid), ...limited]);
  } finally {
    await target?.chown(0, 0);
    uidsInUse.delete(uid);
  }
}

/** The words of qemu-img reach the tenant, to whom descriptors say nothing. */
function inPlainWords(error: PhotonError): PhotonError {
  const { group, code, message } = error.record;
  const plain = message.replaceAll(`'${sourceFile}'`, 'the image').replaceAll(`'${targetFile}'`, 'the volume');
  return new PhotonError(group, code, plain, { cause: error });
}

const withoutNetwork: readonly string[] = ['unshare', '--net', '--ipc', '--'];
const withoutRights = (uid: number): readonly string[] => [
  `--reuid=${uid}`,
  `--regid=${imageReaders}`,
  '--clear-groups',
  '--no-new-privs',
  '--bounding-set=-all',
  '--inh-caps=-all',
];

/** Lets qemu-img read a file of ours, for good: other calls may read it at the same time. */
export async function showToQemuImage(file: FileHandle): Promise<void> {
  if (!isRoot) return;
  await file.chown(0, imageReaders);
  await file.chmod(0o640);
}

const unusable = 'qcow2_unusable';
/** Exit code of `qemu-img check`: some clusters are used by nobody. */
const leaked = 3;
/** Whatever the reason is, qemu-img cannot open these bytes and will not be able to later. */
const refusals: readonly ErrorRule[] = [{ matches: /^/, group: 'defeat', code: unusable, advice: '' }];

/** An image of so many bytes is no bomb, whatever its file has. */
const harmlessBytes = 2 ** 30;
/** The best that compression can do for a cluster of 64 KiB that no other one shares is 128. */
const harmlessRatio = 256;

/** What `qemu-img check` found; it counts clusters of the guest's disk that have bytes of their own or shared ones. */
const checkSchema = z.object({ 'allocated-clusters': z.number().default(0) });

/**
 * Opens an accepted qcow2 file with qemu-img, which makes volumes from it later, and lets it follow every table: what
 * qemu-img cannot open or finds damaged is refused now and not when a VM waits for it. Leaked clusters do no harm.
 * @throws defeat `qcow2_unusable`, `qcow2_bomb`
 */
export async function requireUsable(source: FileHandle, shown: string, signal: AbortSignal): Promise<void> {
  const limits = { cpuSeconds: 20, timeoutMs: 120_000, fileBytes: 0 };
  const request = { what: 'qemu-img', source, ...limits, rules: refusals, signal };
  const plain = ['--force-share', '-f', 'qcow2', '--output=json', sourceFile];
  try {
    await runQemuImage(request, ['info', ...plain]);
    const { stdout } = await runQemuImage({ ...request, acceptedCodes: [leaked] }, ['check', ...plain]);
    const { 'allocated-clusters': clusters } = checkSchema.parse(JSON.parse(stdout));
    const unpackedBytes = clusters * (await clusterBytesOf(source));
    if (unpackedBytes > Math.max(harmlessBytes, harmlessRatio * (await source.stat()).size))
      throw refuseImage('qcow2_bomb', `${shown} has ${unpackedBytes} bytes of content in its tables`);
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    const { code, message } = error.record;
    if (code === 'program_killed' || code === 'program_timeout')
      throw refuseImage(unusable, `${shown}: qemu-img needs more than its limits to read its tables`);
    if (code === unusable) throw refuseImage(unusable, `${shown}: ${message.trim()}`);
    throw error;
  }
}

/** Its header was inspected before. */
async function clusterBytesOf(source: FileHandle): Promise<number> {
  const { buffer } = await source.read(Buffer.alloc(4), 0, 4, 20);
  return 2 ** buffer.readUInt32BE(0);
}

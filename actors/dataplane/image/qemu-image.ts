/**
 * Runs qemu-img with limits on memory, time and file size (docs/threats.md#t9). Formats are always given: it never
 * probes. Called by copy-store.ts and replica-store.ts after image-header.ts has accepted the file.
 */
import type { FileHandle } from 'node:fs/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';
import { runProgram } from '../program.ts';
import { refuseImage } from './image-errors.ts';

interface QemuImageRequest {
  /** For the error: `making volume X`. */
  readonly what: string;
  readonly cpuSeconds: number;
  readonly timeoutMs: number;
  readonly fileBytes: number;
  readonly rules: readonly ErrorRule[];
  readonly signal: AbortSignal;
}

export async function runQemuImage(
  { what, cpuSeconds, timeoutMs, fileBytes, rules, signal }: QemuImageRequest,
  args: readonly string[],
): Promise<void> {
  const limits = ['--as=2147483648', `--cpu=${cpuSeconds}`, `--fsize=${fileBytes}`, '--core=0'];
  const command = { program: 'prlimit', args: [...limits, 'qemu-img', ...args], long: true };
  await runProgram({ ...command, what, timeoutMs, rules, signal });
}

const unusable = 'qcow2_unusable';
/** Whatever the reason is, qemu-img cannot open these bytes and will not be able to later. */
const refusals: readonly ErrorRule[] = [{ matches: /^/, group: 'defeat', code: unusable, advice: '' }];

/**
 * Opens an accepted qcow2 file with qemu-img, which makes volumes from it later: what qemu-img cannot open is refused
 * now and not when a VM waits for it.
 * @throws defeat `qcow2_unusable`
 */
export async function requireUsable(file: FileHandle, shown: string, signal: AbortSignal): Promise<void> {
  // The open file, whatever has its name by now.
  const opened = `/proc/${process.pid}/fd/${file.fd}`;
  const request = { what: 'qemu-img', cpuSeconds: 10, timeoutMs: 60_000, fileBytes: 0, rules: refusals, signal };
  try {
    await runQemuImage(request, ['info', '--force-share', '-f', 'qcow2', '--output=json', opened]);
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    const { code, message } = error.record;
    if (code === 'program_killed' || code === 'program_timeout')
      throw refuseImage(unusable, `${shown}: qemu-img needs more than its limits to open it`);
    if (code === unusable) throw refuseImage(unusable, `${shown}: ${message.replaceAll(opened, 'it').trim()}`);
    throw error;
  }
}

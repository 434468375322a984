/** Finds the QEMU that a worker runs: the one named by PHOTON_TOOLCHAIN, the one set-up unpacked, or the host's own. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import { z } from 'zod';

const toolchainSchema = z.object({
  qemu: z.object({ binary: z.string(), libDir: z.string().optional() }).nullish(),
});

export interface QemuProgram {
  readonly binary: string;
  /** Folder with the firmware of an unpacked QEMU, passed as `-L`. */
  readonly libDir?: string;
}

/**
 * Reads the record of set-up: the file named by PHOTON_TOOLCHAIN, else `.cache/toolchain.json`. Without a record the
 * host's own program is used. If the record says that set-up found no QEMU, a warning is logged: the worker then serves
 * networks and volumes, and no VM is placed on it.
 *
 * @throws PhotonError defeat `toolchain_unreadable`
 */
export function findQemu(
  log: Log,
  record = process.env['PHOTON_TOOLCHAIN'] ?? resolve(import.meta.dirname, '../../.cache/toolchain.json'),
): QemuProgram {
  let text: string;
  try {
    text = readFileSync(record, 'utf8');
  } catch {
    // Without a record, set-up did not have to unpack a QEMU.
    return { binary: 'qemu-system-x86_64' };
  }
  const qemu = recordedQemu(record, text);
  if (qemu === null) {
    log.warn({ record }, 'set-up found no QEMU: no VM is placed on this host until qemu-system-x86 is installed');
  }
  if (qemu === undefined || qemu === null) return { binary: 'qemu-system-x86_64' };
  const { binary, libDir } = qemu;
  return { binary, ...(libDir === undefined ? {} : { libDir }) };
}

function recordedQemu(record: string, text: string): z.infer<typeof toolchainSchema>['qemu'] {
  try {
    return toolchainSchema.parse(JSON.parse(text)).qemu;
  } catch (cause) {
    const what = `${record} is not a record of the set-up; remove it and run the set-up again`;
    throw new PhotonError('defeat', 'toolchain_unreadable', what, { cause });
  }
}

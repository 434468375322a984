/** Which QEMU a worker runs: the one named in the environment, the one set-up unpacked, or the host's own. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';

const toolchainSchema = z.object({
  qemu: z.object({ binary: z.string(), libDir: z.string().optional(), libraryPath: z.string().optional() }).optional(),
});

export interface QemuProgram {
  readonly binary: string;
  /** Passed as `-L`: firmware of an unpacked QEMU. */
  readonly libDir?: string;
  readonly libraryPath?: string;
}

/** PHOTON_TOOLCHAIN names a `toolchain.json`; without it the host's own program is taken. */
export function findQemu(): QemuProgram {
  const record = process.env['PHOTON_TOOLCHAIN'] ?? resolve(import.meta.dirname, '../../.cache/toolchain.json');
  let text: string;
  try {
    text = readFileSync(record, 'utf8');
  } catch {
    // No record means that set-up found no need to unpack one.
    return { binary: 'qemu-system-x86_64' };
  }
  const { qemu } = toolchainSchema.parse(JSON.parse(text));
  if (qemu === undefined) return { binary: 'qemu-system-x86_64' };
  const { binary, libDir, libraryPath } = qemu;
  return { binary, ...(libDir === undefined ? {} : { libDir }), ...(libraryPath === undefined ? {} : { libraryPath }) };
}

/** Paths of QEMU's programs: they are beside the system emulator, or found like it. */
import path from 'node:path';
import type { DataplaneSite } from '../dataplane-site.ts';

export function qemuProgram({ options }: DataplaneSite, name: 'qemu-storage-daemon'): string {
  const { binary } = options.qemu;
  return binary.includes('/') ? path.join(path.dirname(binary), name) : name;
}

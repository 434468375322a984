/** The key with which a run proves to an export that it is the one it was made for (docs/threats.md#t82). */
import type { DataplaneSite } from '../dataplane-site.ts';

/** The name that the client proves to have the key of. */
export const exportUser = 'photon';

/** The content of a key file of QEMU. @throws defeat `export_key_missing` */
export const keyLine = (site: DataplaneSite, name: string): string =>
  `${exportUser}:${site.options.exportKey(name).toString('hex')}\n`;

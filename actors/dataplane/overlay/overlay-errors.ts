/** Error messages of `ip` and `bridge` for the VXLAN device and its namespace, with the error that each becomes. */
import type { ErrorRule } from '../kernel-errors.ts';

export const overlayErrors: readonly ErrorRule[] = [
  {
    matches: /VNI already exists|vxlan.*File exists|File exists.*vxlan/i,
    group: 'fault',
    code: 'vni_busy',
    advice: 'An older segment with this VNI still exists or is being removed; try again shortly.',
  },
  {
    matches: /Peer netns reference is invalid|Cannot open network namespace/i,
    group: 'fault',
    code: 'namespace_missing',
    advice: 'The namespace is gone; ensure the segment.',
  },
];

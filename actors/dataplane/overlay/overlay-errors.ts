/** What `ip` and `bridge` say about the VXLAN device and its namespace, and what that means for the caller. */
import type { ErrorRule } from '../kernel-errors.ts';

export const overlayErrors: readonly ErrorRule[] = [
  {
    says: /VNI already exists|vxlan.*File exists|File exists.*vxlan/i,
    group: 'fault',
    code: 'vni_busy',
    advice: 'An older segment with this VNI is still there or being removed; try again shortly.',
  },
  {
    says: /Peer netns reference is invalid|Cannot open network namespace/i,
    group: 'fault',
    code: 'namespace_missing',
    advice: 'The namespace is gone; ensure the segment.',
  },
];

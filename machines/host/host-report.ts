/** Facts of a host as its agent observed them; placement uses them. */
import { z } from 'zod';
import type { ValueOf } from '../values/kind.ts';

export const hostReportSchema = z.object({
  /** IPv4 address on the underlay. */
  underlay: z.string(),
  underlayMtu: z.int(),
  cpus: z.int(),
  memoryMib: z.int(),
  /** Null when the host cannot run VMs. */
  qemuVersion: z.string().nullable(),
  kvm: z.boolean(),
  /** Absolute folders from which `file://` images may be taken. */
  allowedRoots: z.array(z.string()),
  /** Where other nodes reach its process. */
  peerUrl: z.string(),
});
export type HostReport = ValueOf<typeof hostReportSchema>;

/** Facts of a host as its agent observed them; placement uses them. */
import { z } from 'zod';
import type { ValueOf } from '../values/kind.ts';

/** The file system that holds images, volumes and consoles of a host. */
export const diskUseSchema = z.object({ diskMib: z.int(), diskFreeMib: z.int() });
export type DiskUse = ValueOf<typeof diskUseSchema>;

/** A disk with less than this share free takes no new volumes and images: the guests on it need the rest. */
export const lowDiskShare = 0.05;
export const isDiskLow = ({ diskMib, diskFreeMib }: DiskUse): boolean => diskFreeMib < diskMib * lowDiskShare;

export const hostReportSchema = z.object({
  /** IPv4 address on the underlay. */
  underlay: z.string(),
  underlayMtu: z.int(),
  cpus: z.int(),
  memoryMib: z.int(),
  ...diskUseSchema.shape,
  /** Null when the host cannot run VMs. */
  qemuVersion: z.string().nullable(),
  kvm: z.boolean(),
  /** Absolute folders from which `file://` images may be taken. */
  allowedRoots: z.array(z.string()),
  /** Takes shared volumes; absent: no. */
  storage: z.boolean().optional(),
  /** Where other nodes reach its process. */
  peerUrl: z.string(),
});
export type HostReport = ValueOf<typeof hostReportSchema>;

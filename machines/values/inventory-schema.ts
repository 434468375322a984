/** What a host says that it has, independent of the store: runs, ports and VPCs. Plain JSON, as wiring.ts. */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

/** A run of a VM that a host has, as its kernel shows it. */
export const foundRunSchema = z.object({
  vm: z.string(),
  /** Uid of the run. */
  incarnationUid: z.string(),
  runEpoch: z.number(),
});
export type FoundRun = ValueOf<typeof foundRunSchema>;

/** A port that a host has, read from its tap and its DHCP entry. */
export const foundPortSchema = z.object({
  vpc: z.string(),
  port: z.string(),
  address: z.string(),
  mac: z.string(),
});
export type FoundPort = ValueOf<typeof foundPortSchema>;

/** The inventory of a host: what exists there, independent of the store. */
export const hostInventorySchema = z.object({
  runs: z.array(foundRunSchema),
  ports: z.array(foundPortSchema),
  vnis: z.array(z.object({ vpc: z.string(), vni: z.number() })),
});
export type HostInventory = ValueOf<typeof hostInventorySchema>;

/**
 * The `limits` section of node.json: values that replace defaults of hosting, links between nodes, heartbeats in the
 * store, the control API, the journal and the store. The defaults are declared where they are used; docs/limits.md
 * lists all of them with what happens when one is exceeded. Read with the node's configuration and passed on by the
 * composition roots.
 */
import { defaultApiLimits, type ApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { defaultBeatLimits, type BeatLimits } from '@photoncloud/runtime/directory/beat-limits';
import { defaultLimits, type HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import { defaultReceiptLimits, type ReceiptLimits } from '@photoncloud/runtime/journal/receipt-limits';
import { defaultStoreLimits, type StoreLimits } from '@photoncloud/runtime/journal/store-memory';
import { defaultPeerLimits, type PeerLimits } from '@photoncloud/runtime/transport/link-limits';
import { z } from 'zod';

/** Every limit is a count, a size in bytes or a time in ms: a whole number above zero. */
function overridesOf<Limits extends { readonly [K in keyof Limits]: number }>(
  defaults: Limits,
): z.ZodType<Partial<Limits>> {
  const shape = Object.keys(defaults).map((name) => [name, z.int().min(1).optional()] as const);
  return z.strictObject(Object.fromEntries(shape)) as unknown as z.ZodType<Partial<Limits>>;
}

/**
 * A node must not be taken for dead after one missed heartbeat, or when its heartbeat is read just before it is due.
 */
function outlastsBeats(beats: Partial<BeatLimits>): boolean {
  const { beatMs, silenceMs } = { ...defaultBeatLimits, ...beats };
  return silenceMs >= 3 * beatMs;
}
const outlastsText = 'silenceMs must be at least three times beatMs, or nodes that are alive lose their shards';

export const limitDefaults = {
  host: defaultLimits,
  peer: defaultPeerLimits,
  beats: defaultBeatLimits,
  api: defaultApiLimits,
  journal: defaultReceiptLimits,
  store: defaultStoreLimits,
} as const;

export interface NodeLimits {
  readonly host?: Partial<HostLimits> | undefined;
  readonly peer?: Partial<PeerLimits> | undefined;
  readonly beats?: Partial<BeatLimits> | undefined;
  readonly api?: Partial<ApiLimits> | undefined;
  readonly journal?: Partial<ReceiptLimits> | undefined;
  readonly store?: Partial<StoreLimits> | undefined;
}

export const limitsSchema: z.ZodType<NodeLimits> = z.strictObject({
  host: overridesOf(defaultLimits).optional(),
  peer: overridesOf(defaultPeerLimits).optional(),
  beats: overridesOf(defaultBeatLimits).refine(outlastsBeats, outlastsText).optional(),
  api: overridesOf(defaultApiLimits).optional(),
  journal: overridesOf(defaultReceiptLimits).optional(),
  store: overridesOf(defaultStoreLimits).optional(),
});

/**
 * Threads of a node process for reading and writing files. Node's default of 4 would all wait for a disk or a network
 * file system that hangs while images and volumes are copied, and with them every other access to a file.
 */
export const fileThreads = 32;

/**
 * The `limits` section of node.json: single values in place of the defaults of hosting, links between nodes, beats in
 * the store and the control API. The defaults stand where they are used; docs/limits.md shows all of them with what
 * happens on excess. Read with the node's configuration and handed on by the composition roots.
 */
import { defaultApiLimits, type ApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { defaultBeatLimits, type BeatLimits } from '@photoncloud/runtime/directory/beat-limits';
import { defaultLimits, type HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import { defaultPeerLimits, type PeerLimits } from '@photoncloud/runtime/transport/link-limits';
import { z } from 'zod';

/** Every limit is a count, a size in bytes or a time in ms: whole and above zero. */
function overridesOf<Limits extends { readonly [K in keyof Limits]: number }>(
  defaults: Limits,
): z.ZodType<Partial<Limits>> {
  const shape = Object.keys(defaults).map((name) => [name, z.int().min(1).optional()] as const);
  return z.strictObject(Object.fromEntries(shape)) as unknown as z.ZodType<Partial<Limits>>;
}

/** A node that misses one beat, or whose beat is read just before it comes, is not dead yet. */
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
} as const;

export interface NodeLimits {
  readonly host?: Partial<HostLimits> | undefined;
  readonly peer?: Partial<PeerLimits> | undefined;
  readonly beats?: Partial<BeatLimits> | undefined;
  readonly api?: Partial<ApiLimits> | undefined;
}

export const limitsSchema: z.ZodType<NodeLimits> = z.strictObject({
  host: overridesOf(defaultLimits).optional(),
  peer: overridesOf(defaultPeerLimits).optional(),
  beats: overridesOf(defaultBeatLimits).refine(outlastsBeats, outlastsText).optional(),
  api: overridesOf(defaultApiLimits).optional(),
});

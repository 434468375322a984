/**
 * The `limits` section of node.json: single values in place of the defaults of hosting, links between nodes and the
 * control API. The defaults stand where they are used; docs/limits.md shows all of them with what happens on excess.
 * Read with the node's configuration and handed on by the composition roots.
 */
import { defaultApiLimits, type ApiLimits } from '@photoncloud/runtime/control-api/api-limits';
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

export const limitDefaults = { host: defaultLimits, peer: defaultPeerLimits, api: defaultApiLimits } as const;

export interface NodeLimits {
  readonly host?: Partial<HostLimits> | undefined;
  readonly peer?: Partial<PeerLimits> | undefined;
  readonly api?: Partial<ApiLimits> | undefined;
}

export const limitsSchema: z.ZodType<NodeLimits> = z.strictObject({
  host: overridesOf(defaultLimits).optional(),
  peer: overridesOf(defaultPeerLimits).optional(),
  api: overridesOf(defaultApiLimits).optional(),
});

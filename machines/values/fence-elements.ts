/**
 * Section `fences`: what hosts drop of a host that is silent. A port whose VM was given up there, to run elsewhere,
 * owns an element for each such host until that host has removed what is left of the port. Written by machines/port,
 * made by actors/dataplane/overlay.
 */
import { z } from 'zod';
import { parseAddress } from './addresses.ts';
import type { ValueOf } from './kind.ts';

export const fencesSection = 'fences';

/** Key: what the port calls it. */
export const fenceElement = z.strictObject({
  /** Index (HostFacts) of the host whose packets are dropped. */
  host: z.int().min(1).max(254),
  /** IPv4 addresses of the port, as senders. */
  addresses: z.array(z.string().refine((text) => parseAddress(text) !== undefined, 'must be an IPv4 address')).min(1),
});
export type FenceElement = ValueOf<typeof fenceElement>;

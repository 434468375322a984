/**
 * Connections of a guest that moves, as the connection tracking of its host knows them: its new host is told of them,
 * so that their packets are those of admitted connections there, too. Written and read by actors/dataplane/migration.
 */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';

/** More are not carried to the new host: a migration is stored in whole. Established ones are taken first. */
export const mostFlows = 512;

const port = z.int().min(1).max(65_535);
const address = z.string().regex(/^\d{1,3}(\.\d{1,3}){3}$/);

export const trackedFlowSchema = z.object({
  /** Index of the guest's NIC. */
  nic: z.int().min(0).max(7),
  protocol: z.enum(['tcp', 'udp']),
  /** Of the packet that opened it. */
  source: address,
  sourcePort: port,
  destination: address,
  destinationPort: port,
  /** Where it was led, when that is another place than it was sent to: a backend of a service IP. */
  led: z.object({ address, port }).nullable(),
  /** Of tcp. */
  state: z.enum(['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK']).nullable(),
  assured: z.boolean(),
  /** How long it is remembered without a packet, s. */
  seconds: z.int().min(1).max(432_000),
});
export type TrackedFlow = ValueOf<typeof trackedFlowSchema>;

export const trackedFlowsSchema = z.array(trackedFlowSchema).max(mostFlows);

/**
 * The wire format of nodes, their certificates, and revocations: the part of api-schema.ts that node-methods.ts serves,
 * for operators only.
 */
import { z } from 'zod';
import { word } from './wire-terms.ts';

const wallMs = z.number().meta({ description: 'Wall time, ms since the epoch' });

const certificate = z.object({
  issuedMs: wallMs,
  expiresMs: wallMs,
  condition: z.object({
    type: z.literal('CertificateValid'),
    status: z.enum(['True', 'False']),
    reason: z.string(),
    message: z.string(),
  }),
});

const clusterNode = z.object({
  node: z.string(),
  role: z.string(),
  alive: z.boolean(),
  certificate: certificate.optional().meta({ description: 'Absent when the node has not told its certificate' }),
});

const revocation = z.object({
  subject: z.string().meta({ description: '`node:w1`, or `token:ann`' }),
  atMs: wallMs.meta({ description: 'What was issued up to then is refused' }),
  by: z.string(),
  reason: z.string(),
});
const reason = z.string().min(1).max(500).meta({ description: 'Kept with the revocation' });

export const nodeShapes = {
  'node.list': {
    description: 'For operators. Controllers and workers with their certificates, and what is revoked.',
    params: z.strictObject({}),
    result: z.object({ nodes: z.array(clusterNode), revoked: z.array(revocation) }),
  },
  'node.remove': {
    description: 'For operators. Refuses every certificate that a node has now, on all nodes; its links are cut.',
    params: z.strictObject({ node: word, reason }),
    result: revocation,
  },
  'token.revoke': {
    description: 'For operators. Refuses every token that a principal has now, on all controllers; its sessions end.',
    params: z.strictObject({ principal: word, reason }),
    result: revocation,
  },
} as const;

export type ClusterNode = z.output<typeof clusterNode>;
export type WireRevocation = z.output<typeof revocation>;

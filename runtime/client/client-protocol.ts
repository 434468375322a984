/**
 * The client's subprotocol and the feature it uses. The values are repeated here instead of imported from the schema
 * file, so that page bundles do not contain zod; the types make a difference a compile error.
 */
import type { apiProtocol, batchFeature } from '../control-api/api-schema.ts';

export const apiProtocolName: typeof apiProtocol = 'photon.v1';
export const batchFeatureName: typeof batchFeature = 'batch';

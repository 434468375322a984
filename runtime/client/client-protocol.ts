/**
 * The subprotocol the client speaks, and the feature it makes use of. Repeated here and not imported as values from the
 * schema file, so that a page's bundle holds no zod; the types make a difference a compile error.
 */
import type { apiProtocol, batchFeature } from '../control-api/api-schema.ts';

export const apiProtocolName: typeof apiProtocol = 'photon.v1';
export const batchFeatureName: typeof batchFeature = 'batch';

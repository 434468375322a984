/**
 * The subprotocol the client speaks. Repeated here and not imported as a value from the schema file, so that a page's
 * bundle holds no zod; the type makes a difference a compile error.
 */
import type { apiProtocol } from '../control-api/api-schema.ts';

export const apiProtocolName: typeof apiProtocol = 'photon.v1';

/** Small schemas that several schemas of the wire format share. Frames and methods are in api-schema.ts. */
import { z } from 'zod';

export const count = z.number().int().nonnegative();
export const wordForm = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
export const word = z.string().regex(wordForm, 'must be 1 to 40 of a-z, 0-9 and inner hyphens');
export const idText = z.string().min(1).max(200);
export const keyForm = /^[\x21-\x7e]{1,128}$/;
/** An idempotency key, chosen by the caller. */
export const keyText = z.string().regex(keyForm, 'must be 1 to 128 printable characters without spaces');

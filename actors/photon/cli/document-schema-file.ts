/** The published JSON Schema of documents: generated from the schema that validates them; a test compares the two. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { documentSchema } from '../../kind/documents.ts';

export const schemaPath = resolve(import.meta.dirname, '../../../docs/document.schema.json');

/** What a person may write: defaults are optional. */
export function schemaText(): string {
  const schema = z.toJSONSchema(documentSchema, { io: 'input' });
  return `${JSON.stringify({ title: 'A photoncloud document', ...schema }, null, 2)}\n`;
}

/** `npm run schema`: writes docs/document.schema.json. */
import { writeFileSync } from 'node:fs';
import { schemaPath, schemaText } from './document-schema-file.ts';

writeFileSync(schemaPath, schemaText());
console.log(`wrote ${schemaPath}`);

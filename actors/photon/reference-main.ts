/** `npm run reference`: writes docs/protocol.md and docs/reference from the schemas of the kinds. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { allPages } from './reference-pages.ts';

const docs = resolve(import.meta.dirname, '../../docs');
mkdirSync(join(docs, 'reference'), { recursive: true });
for (const [path, text] of allPages()) writeFileSync(join(docs, path), text);
console.log(`wrote ${allPages().size} pages to docs`);

/** `npm run errors`: writes docs/errors.md from the sources. */
import { writeFileSync } from 'node:fs';
import { errorPage, errorPagePath } from './error-catalogue.ts';

writeFileSync(errorPagePath, errorPage());
console.log(`wrote ${errorPagePath}`);

/**
 * Part of `npm run reference`: writes docs/reference/nix-options.md and nix/cluster/documents, where nix is installed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { checkout } from '../cluster/photon-commands.ts';
import { documentFiles, optionsOf, optionsPage, optionsPagePath } from './nix-pages.ts';
import { NixPlace, whyNoNix } from './nix-place.ts';

const reason = whyNoNix();
if (reason === undefined) {
  const nix = new NixPlace();
  try {
    for (const [path, text] of [[optionsPagePath, optionsPage(optionsOf(nix))], ...documentFiles(nix)] as const) {
      mkdirSync(join(checkout, dirname(path)), { recursive: true });
      writeFileSync(join(checkout, path), text);
      console.log(`wrote ${path}`);
    }
  } finally {
    nix.close();
  }
} else console.log(`not written: ${optionsPagePath} and nix/cluster/documents: ${reason}`);

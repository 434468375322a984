/**
 * `npm run packages [-- <folder>]`: the npm packages of runtime/, machines/ and actors/ as .tgz files in the folder, by
 * default .cache/packages. `npm install --global <folder>/photoncloud-*.tgz` then gives a machine with Node 24 the
 * command `photon`.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packWorkspaces } from './workspace-packages.ts';

const folder = resolve(process.argv[2] ?? join(import.meta.dirname, '../../.cache/packages'));
mkdirSync(folder, { recursive: true });
for (const path of Object.values(packWorkspaces(folder))) console.log(path);

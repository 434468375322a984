#!/usr/bin/env -S node --max-semi-space-size=64
/**
 * The command `photon` of an installed package (the `bin` of actors/package.json): checks that Node is new enough, then
 * runs photon-main. The flag in the first line is `nodeFlags` of the top package.json. An older Node would stop at the
 * first import it does not know, with a message about that import; so photon-main is imported after the check.
 */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 24 || (major === 24 && minor >= 11)) {
  // Half of a short command's time went into compiling our sources. Kept where nobody else writes.
  const { HOME, XDG_CACHE_HOME = HOME === undefined ? undefined : `${HOME}/.cache` } = process.env;
  const { enableCompileCache } = await import('node:module');
  if (XDG_CACHE_HOME !== undefined) enableCompileCache(`${XDG_CACHE_HOME}/photon`);
  await import('./photon-main.ts');
} else {
  process.stderr.write(`photon needs Node 24.11 or newer; ${process.execPath} is Node ${process.versions.node}\n`);
  process.exitCode = 1;
}

/**
 * `npm run audit:sources`: whether what nix/source-roots.json puts into each package is enough, and no more than git
 * has. Three proofs that do not depend on each other: the static closure, the files that Nix takes, and a build in a
 * sandbox that does not see this checkout. Ends with 1 when one of them names something.
 */
import { checkout } from '../cluster/photon-commands.ts';
import { whyNoBuilds, whyNoNix } from './nix-place.ts';
import { auditPlace, buildSources, sourcesInStore, storeDifferences } from './source-build.ts';
import { SourceClosure } from './source-closure.ts';
import { listProblems, readRoots, trackedFiles } from './source-selection.ts';

const tracked = trackedFiles(checkout);
const roots = readRoots(checkout);
let failed = false;
const report = (what: string, findings: readonly string[], said = ''): void => {
  failed ||= findings.length > 0;
  console.log(`${findings.length === 0 ? 'ok     ' : 'FAILED '} ${what}${said === '' ? '' : `: ${said}`}`);
  for (const finding of findings) console.log(`         ${finding}`);
};

report('every tracked file is in a package, or is said to be in none', listProblems(roots, tracked));
const [noNix, noBuilds] = [whyNoNix(), whyNoBuilds()];
const nix = auditPlace();
try {
  for (const [name, source] of Object.entries(roots.packages)) {
    const closure = new SourceClosure(checkout, name, source, tracked);
    const findings = closure.audit();
    report(`${name}: what its entries reach is in it`, findings, `${closure.reached.size} modules`);
    if (noNix !== undefined) {
      console.log(`NOT RUN ${name}: the files that Nix takes, and the build in a sandbox: ${noNix}`);
      continue;
    }
    const folder = sourcesInStore(nix, name);
    report(`${name}: Nix takes the files that git has`, storeDifferences(folder, source, tracked));
    if (noBuilds !== undefined) {
      console.log(`NOT RUN ${name}: the build in a sandbox: ${noBuilds}`);
      continue;
    }
    const { isBuilt, log } = buildSources(nix, folder);
    const last = log.trim().split('\n');
    report(
      `${name}: it runs in a sandbox without this checkout`,
      isBuilt ? [] : last.slice(-20),
      isBuilt ? (last.at(-1) ?? '') : '',
    );
  }
} finally {
  nix.close();
}
process.exitCode = failed ? 1 : 0;

/**
 * Finds the test files of this checkout and what each declares in its head:
 *   // time limit: 240 s    for the file      (180 s; 300 s on the real kernel)
 *   // test limit: 60 s     for each test     (60 s; 120 s on the real kernel)
 *   // needs: kernel        root, namespaces, QEMU: skipped as a whole, with the reason, where they cannot be had
 *   // servers: redis valkey    the servers it runs on, once each (redis)
 *   // runs: alone          nothing runs beside it: it judges how long something takes, or how much is done in a second
 *   // runs: campaign       not part of a whole run: campaign-main.ts has a leg of it
 * Not a runner: test-all.ts runs what is found here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';

export type TestStage = 'tidy' | 'unit' | 'kernel';

/** What the TestRedis of a file is. */
export type StoreServer = 'redis' | 'valkey';

export interface TestFile {
  /** Relative to the top of the checkout, with forward slashes. */
  readonly path: string;
  readonly stage: TestStage;
  readonly fileLimitMs: number;
  readonly testLimitMs: number;
  readonly needsKernel: boolean;
  readonly servers: readonly StoreServer[];
  readonly runsAlone: boolean;
  /** It takes long, and others prove most of what it does: `npm test` leaves it out unless it is named. */
  readonly isOfCampaign: boolean;
  /** The limit for the file that it declares itself; undefined where it takes that of its stage. */
  readonly declaredLimitMs: number | undefined;
}

/** Folders of cluster-tests whose tests need no root; the others run on the real kernel. */
const rootless = ['harness', 'setup', 'simulation', 'checkers', 'conformance', 'mutants', 'fuzz', 'six-node', 'nix'];

export const workspaces = ['runtime', 'machines', 'actors', 'cluster-tests'] as const;

export function findTestFiles(top: string): TestFile[] {
  return workspaces
    .flatMap((workspace) =>
      readdirSync(join(top, workspace), { recursive: true, encoding: 'utf8' }).map(
        (path) => `${workspace}/${path.split(sep).join('/')}`,
      ),
    )
    .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules/') && !path.includes('/fixtures/'))
    .toSorted()
    .map((path) => readTestFile(top, path));
}

/** `path` is relative to `top`, with forward slashes. */
export function readTestFile(top: string, path: string): TestFile {
  const head = readFileSync(join(top, path), 'utf8').slice(0, 2_000);
  const stage = stageOf(path);
  const seconds = (what: string): number | undefined => {
    const found = new RegExp(`^// ${what} limit: (\\d+) s`, 'm').exec(head)?.[1];
    return found === undefined ? undefined : Number(found) * 1000;
  };
  return {
    path,
    stage,
    fileLimitMs: seconds('time') ?? (stage === 'kernel' ? 300_000 : 180_000),
    testLimitMs: seconds('test') ?? (stage === 'kernel' ? 120_000 : 60_000),
    needsKernel: stage === 'kernel' || /^\/\/ needs: kernel/m.test(head),
    runsAlone: /^\/\/ runs: alone$/m.test(head),
    isOfCampaign: /^\/\/ runs: campaign$/m.test(head),
    declaredLimitMs: seconds('time'),
    servers: (/^\/\/ servers: ([a-z ]+)/m.exec(head)?.[1]?.trim().split(' ') ?? ['redis']) as StoreServer[],
  };
}

function stageOf(path: string): TestStage {
  if (path === 'cluster-tests/harness/tidy.test.ts') return 'tidy';
  const [workspace, folder] = path.split('/');
  return workspace === 'cluster-tests' && !rootless.includes(folder ?? '') ? 'kernel' : 'unit';
}

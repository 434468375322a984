/**
 * What the tidy test holds the sources to, as tables: who may import whom, what may be called where, limits, names,
 * top level. Only tables; the checks are tidy-imports.ts, tidy-syntax.ts and tidy-layout.ts. A new folder or package
 * gets its line here.
 * Upholds docs/architecture.md: one direction of call, and time, chance and the outside world only behind ports.
 */
export const fileLines = 400;
export const functionLines = 75; // "about 70", without the functions inside it
export const lineWidth = 120;

export interface ImportRule {
  /** Folder, or a file without its extension; the longest match counts. `<kind>` is any one folder. */
  readonly from: string;
  readonly packages: readonly string[];
  /** Folders of this repository; its own folder is always allowed. */
  readonly folders: readonly string[];
  /** Whether node:* may be imported. */
  readonly node: boolean;
}

const contract = ['runtime/contract'];
const wire = ['runtime/contract', 'runtime/transport', 'runtime/control-api', 'runtime/client'];

export const importRules: readonly ImportRule[] = [
  { from: 'machines', packages: ['xstate', 'zod'], folders: ['machines'], node: false },
  { from: 'actors/dataplane', packages: ['execa', 'zod'], folders: ['machines/values', ...contract], node: true },
  {
    from: 'actors/<kind>',
    packages: ['zod'],
    folders: ['machines', 'actors/dataplane', 'actors/kind', ...contract],
    node: false,
  },
  { from: 'actors', packages: ['zod'], folders: ['machines', 'actors', ...contract], node: false },
  {
    from: 'actors/photon',
    packages: ['commander', 'execa', 'yaml', 'zod'],
    folders: ['machines', 'actors', 'runtime'],
    node: true,
  },
  { from: 'runtime/contract', packages: ['zod'], folders: [], node: false },
  { from: 'runtime/hosting', packages: ['xstate'], folders: contract, node: true },
  { from: 'runtime/hosting/system-random', packages: ['ulid'], folders: contract, node: true },
  { from: 'runtime/archive', packages: [], folders: [...contract, 'runtime/journal'], node: true },
  {
    from: 'runtime/journal',
    packages: ['ioredis', 'ulid', 'zod'],
    folders: [...contract, 'runtime/directory'],
    node: true,
  },
  { from: 'runtime/directory', packages: ['ioredis', 'zod'], folders: [...contract, 'runtime/journal'], node: true },
  { from: 'runtime/transport', packages: ['ws', 'zod'], folders: wire, node: true },
  { from: 'runtime/control-api', packages: ['ws', 'zod'], folders: wire, node: true },
  { from: 'runtime/client', packages: ['ws', 'zod'], folders: wire, node: true },
  { from: 'runtime/inspector', packages: ['elkjs', 'preact'], folders: [...contract, 'runtime/client'], node: true },
  // The bundler of the inspector's pages, on first start.
  { from: 'runtime/inspector/page-bundle', packages: ['esbuild'], folders: contract, node: true },
  { from: 'runtime/telemetry', packages: ['pino', 'ulid'], folders: contract, node: true },
  { from: 'cluster-tests', packages: ['*'], folders: ['cluster-tests', 'machines', 'actors', 'runtime'], node: true },
];

/** Packages of which a folder may import types only. */
export const typesOnly: readonly { from: string; package: string }[] = [
  { from: 'runtime/contract', package: 'xstate' },
  { from: 'runtime/inspector', package: 'xstate' },
];

/** Only composition and cluster tests see these; nobody imports them. */
export const neverImported: readonly { folder: string; except: string }[] = [
  { folder: 'actors/photon', except: 'cluster-tests' },
  { folder: 'cluster-tests', except: 'cluster-tests' },
];

/** What tests may import beyond the rule of their folder; they may also see their whole workspace and node:*. */
export const testPackages: readonly string[] = ['uvu', 'fast-check'];

export interface BannedCall {
  /** As written: `Date.now`, `setTimeout`, `new Date()` (without arguments). */
  readonly call: string;
  readonly instead: string;
  /** Path prefixes where it is at home; tests and cluster-tests always are. */
  readonly homes: readonly string[];
}

const pages = 'runtime/inspector/pages/'; // run in a browser, which has no ports
const processClocks = [
  'runtime/telemetry/',
  'runtime/hosting/system-',
  'runtime/client/client-clock.ts',
  'runtime/contract/long-timeout.ts',
];
const clocks = [...processClocks, 'actors/photon/', pages];
const clock = 'the Clock of runtime/contract/clock.ts';
const timers = [...clocks, 'actors/dataplane/', 'runtime/contract/long-timeout.ts'];
const environment = 'a setting passed in by the composition root (actors/photon)';

export const bannedCalls: readonly BannedCall[] = [
  { call: 'Date.now', instead: `${clock}: wallMs() for labels, monotonicMs() for delays`, homes: clocks },
  { call: 'new Date()', instead: `${clock}: new Date(clock.wallMs())`, homes: clocks },
  { call: 'setTimeout', instead: `${clock}: after(delayMs, task)`, homes: timers },
  { call: 'setInterval', instead: `${clock}: after(delayMs, task), set again by the task`, homes: timers },
  { call: 'Math.random', instead: 'the Random of runtime/contract/random.ts', homes: clocks },
  { call: 'randomUUID', instead: 'ulid() of runtime/contract/random.ts', homes: clocks },
  { call: 'crypto.randomUUID', instead: 'ulid() of runtime/contract/random.ts', homes: clocks },
  { call: 'process.env', instead: environment, homes: ['actors/photon/'] },
  { call: 'console', instead: 'the Log of runtime/contract/log.ts', homes: ['actors/photon/', 'runtime/telemetry/'] },
];

const bannedSingular = ['util', 'helper', 'common', 'misc', 'manager', 'data', 'info', 'handle'];
export const bannedWords: readonly string[] = bannedSingular.flatMap((word) => [word, `${word}s`]);

/**
 * Words of an earlier private vocabulary, as whole words or as parts of a name, with the term of docs/glossary.md that
 * replaced each. Checked in code, comments and pages.
 */
export const retiredWords: Readonly<Record<string, string>> = {
  bury: 'fence',
  buries: 'fences',
  buried: 'fenced',
  burial: 'fencing',
  burials: 'fencings',
  grave: 'fencing record',
  graves: 'fencing records',
  undertaker: 'surrogate owner',
  draft: 'commit builder',
  drafts: 'commit builders',
  lapse: 'store rollback',
  lapses: 'store rollbacks',
  surroundings: 'step context',
  residents: 'activations',
  tenure: 'shard lifecycle',
  relieves: 'exempt from overload',
  reign: 'replication id',
  reigns: 'replication ids',
  twin: 'per-host counterpart',
  twins: 'per-host counterparts',
  wish: 'request',
  wishes: 'requests',
  doings: 'performer',
  hurry: 'retry now',
  troupe: 'in-memory test system',
  kiln: 'a name that says what is tested',
  lamp: 'a name that says what is tested',
  vase: 'a name that says what is tested',
  sleeper: 'a name that says what is tested',
  fate: 'outcome',
  weather: 'conditions',
  exam: 'check',
};

export const topLevel: readonly string[] = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'flake.nix',
  'flake.lock',
  'README.md',
  'LICENSE',
  '.ci',
  'actors',
  'runtime',
  'machines',
  'nix',
  'cluster-tests',
  'docs',
];

export interface Exception {
  readonly rule: string;
  readonly file: string;
  readonly why: string;
}

/** Kept small; one that is no longer needed fails the test. */
export const exceptions: readonly Exception[] = [];

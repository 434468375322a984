/**
 * `npm run campaign [-- [--jobs J] <text>...]`: runs the long legs, or those whose name contains one of the texts, one
 * after the other. First the legs with real programs, which measure times and need the machine to themselves; then the
 * simulated legs, spread over J processes (one for each core). Each leg's whole output is kept in .cache/campaign, its
 * last lines are printed when it ends. Ends with status 1 when a leg has failed. `npm test` runs the same programs with
 * small counts.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

interface Leg {
  readonly name: string;
  /** Entry and arguments, below the top of the checkout. */
  readonly argv: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const top = join(import.meta.dirname, '..', '..');
const logs = join(top, '.cache', 'campaign');
/** Enough for the summary of the cloud, whose faults and rare situations take about eighty lines. */
const shownLines = 120;

const { values, positionals: texts } = parseArgs({
  options: { jobs: { type: 'string', default: String(availableParallelism()) } },
  allowPositionals: true,
});
const jobs = ['--jobs', values.jobs];

const simulate = (name: string, ...more: readonly string[]): Leg => ({
  name,
  argv: ['cluster-tests/simulation/simulate-main.ts', '--minutes', '10', ...jobs, ...more],
});

/** Legs that need cores and nothing else. */
const simulated: readonly Leg[] = [
  simulate('simulate-runtime-twice', '--scenario', 'runtime', '--seeds', '10', '--twice'),
  simulate('simulate-cloud-twice', '--scenario', 'cloud', '--seeds', '10', '--twice'),
  simulate('simulate-runtime', '--scenario', 'runtime', '--seeds', '250'),
  simulate('simulate-cloud', '--scenario', 'cloud', '--seeds', '250'),
  { name: 'mutants', argv: ['cluster-tests/mutants/mutants-main.ts', ...jobs] },
];

/** Legs that need root and the kernel, and nothing beside them, because they measure times. */
const real: readonly Leg[] = [
  {
    name: 'takeovers',
    argv: ['cluster-tests/cluster/crash-takeover.test.ts'],
    environment: { PHOTON_TAKEOVERS: '50' },
  },
  {
    name: 'crash-controller',
    argv: ['cluster-tests/cluster/crash-controller.test.ts'],
    environment: { PHOTON_CRASH_STRIDE: '1', PHOTON_CRASH_MOMENTS: '10' },
  },
  { name: 'crash-host', argv: ['cluster-tests/cluster/crash-host.test.ts'] },
  { name: 'shared-host', argv: ['cluster-tests/cluster/shared-host.test.ts'] },
  { name: 'storage-reboot', argv: ['cluster-tests/cluster/storage-reboot.test.ts'] },
  {
    name: 'rollout',
    argv: ['cluster-tests/nix/rollout.test.ts'],
    environment: { PHOTON_ROLLOUTS: 'all' },
  },
  {
    name: 'crash-deployment',
    argv: ['actors/photon/deployment-crashes.test.ts'],
    environment: { PHOTON_CRASH_STRIDE: '1' },
  },
  {
    name: 'isolation',
    argv: ['cluster-tests/cluster/isolation.test.ts'],
    environment: { PHOTON_FRAMES: '60000' },
  },
  { name: 'flood', argv: ['cluster-tests/cluster/flood.test.ts'], environment: { PHOTON_FLOOD_MS: '30000' } },
  { name: 'wirings', argv: ['actors/dataplane/segment/random-wirings.test.ts'], environment: { PHOTON_STEPS: '500' } },
  { name: 'failovers', argv: ['runtime/journal/store-failover.test.ts'], environment: { PHOTON_FAILOVERS: '20' } },
  { name: 'faults', argv: ['cluster-tests/cluster/faults.test.ts'], environment: { PHOTON_FAULT_ROUNDS: '3' } },
  {
    name: 'faults-store',
    argv: ['cluster-tests/cluster/faults-store.test.ts'],
    environment: { PHOTON_FAULT_ROUNDS: '3' },
  },
  {
    name: 'squatter',
    argv: ['cluster-tests/cluster/squatter.test.ts'],
    environment: { PHOTON_RESTARTS: '50', PHOTON_SQUATTER_TRIES: '10000' },
  },
  { name: 'moves', argv: ['cluster-tests/cluster/moving-faults-main.ts'] },
  { name: 'attacks', argv: ['cluster-tests/cluster/attacks-main.ts'] },
];

const isWanted = ({ name }: Leg): boolean => texts.length === 0 || texts.some((text) => name.includes(text));

/** @returns whether the leg ended with status 0 */
function run({ name, argv, environment }: Leg): Promise<boolean> {
  const startedMs = performance.now();
  const [entry = '', ...rest] = argv;
  const log = createWriteStream(join(logs, `${name}.log`));
  console.log(`${name} started: ${argv.join(' ')}`);
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    const child = spawn(process.execPath, [join(top, entry), ...rest], {
      cwd: top,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running = child;
    let output = '';
    const keep = (chunk: Buffer): void => {
      log.write(chunk);
      output = (output + chunk.toString()).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => keep(Buffer.from(`${error.message}\n`)));
    child.on('close', (code) => {
      running = undefined;
      log.end();
      const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
      const end = output.trimEnd().split('\n').slice(-shownLines);
      console.log(
        `\n${name} ${code === 0 ? 'passed' : `FAILED (${code})`} after ${minutes} min\n  ${end.join('\n  ')}\n`,
      );
      resolve(code === 0);
    });
  });
}

let running: ReturnType<typeof spawn> | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    running?.kill('SIGTERM');
    process.exitCode = 130;
  });
}

mkdirSync(logs, { recursive: true });
const all = [...real, ...simulated];
const legs = all.filter(isWanted);
if (legs.length === 0) {
  console.log(`no leg is named ${texts.join(' or ')}; there are: ${all.map(({ name }) => name).join(' ')}`);
  process.exitCode = 1;
}
const failed: string[] = [];
let passed = 0;
for (const leg of legs) {
  if (process.exitCode === 130) break;
  if (await run(leg)) passed += 1;
  else failed.push(leg.name);
}
if (legs.length > 0) {
  const names = failed.length > 0 ? `; failed: ${failed.join(' ')}` : '';
  console.log(`${passed} of ${legs.length} legs passed${names}`);
  process.exitCode ??= failed.length > 0 ? 1 : 0;
}

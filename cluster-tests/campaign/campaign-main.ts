/**
 * `npm run campaign [-- <text>...]`: the long counts, or the legs whose name contains one of the texts. Simulated legs
 * run beside the real ones, one of each at a time; each leg's whole output is kept in .cache/campaign, its last lines
 * are printed when it ends. Ends with status 1 when a leg has failed. Not part of `npm test`, which runs the same
 * programs with small counts.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';

interface Leg {
  readonly name: string;
  /** Entry and arguments, below the top of the checkout. */
  readonly argv: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const top = join(import.meta.dirname, '..', '..');
const logs = join(top, '.cache', 'campaign');
const shownLines = 45;

const simulate = (name: string, ...more: readonly string[]): Leg => ({
  name,
  argv: ['cluster-tests/simulation/simulate-main.ts', '--minutes', '10', ...more],
});

/** They want a core and nothing else. */
const simulated: readonly Leg[] = [
  simulate('simulate-runtime-twice', '--scenario', 'runtime', '--seeds', '10', '--twice'),
  simulate('simulate-cloud-twice', '--scenario', 'cloud', '--seeds', '10', '--twice'),
  simulate('simulate-runtime', '--scenario', 'runtime', '--seeds', '250'),
  simulate('simulate-cloud', '--scenario', 'cloud', '--seeds', '250'),
  { name: 'mutants', argv: ['cluster-tests/mutants/mutants-main.ts'] },
];

/** They want root and the kernel. */
const real: readonly Leg[] = [
  {
    name: 'takeovers',
    argv: ['cluster-tests/cluster/crash-takeover.test.ts'],
    environment: { PHOTON_TAKEOVERS: '50' },
  },
  { name: 'failovers', argv: ['runtime/journal/store-failover.test.ts'], environment: { PHOTON_FAILOVERS: '20' } },
  { name: 'faults', argv: ['cluster-tests/cluster/faults.test.ts'], environment: { PHOTON_FAULT_ROUNDS: '3' } },
  {
    name: 'faults-store',
    argv: ['cluster-tests/cluster/faults-store.test.ts'],
    environment: { PHOTON_FAULT_ROUNDS: '3' },
  },
];

const texts = process.argv.slice(2);
const isWanted = ({ name }: Leg): boolean => texts.length === 0 || texts.some((text) => name.includes(text));

/** @returns whether it ended well */
function run({ name, argv, environment }: Leg): Promise<boolean> {
  const startedMs = performance.now();
  const [entry = '', ...rest] = argv;
  const log = createWriteStream(join(logs, `${name}.log`));
  console.log(`${name} has begun: ${argv.join(' ')}`);
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    const child = spawn(process.execPath, [join(top, entry), ...rest], {
      cwd: top,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    let output = '';
    const keep = (chunk: Buffer): void => {
      log.write(chunk);
      output = (output + chunk.toString()).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => keep(Buffer.from(`${error.message}\n`)));
    child.on('close', (code) => {
      running.delete(child);
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

const running = new Set<ReturnType<typeof spawn>>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of running) child.kill('SIGTERM');
    process.exitCode = 130;
  });
}

async function runLane(legs: readonly Leg[]): Promise<string[]> {
  const failed: string[] = [];
  for (const leg of legs.filter(isWanted)) {
    if (process.exitCode === 130) return failed;
    if (!(await run(leg))) failed.push(leg.name);
  }
  return failed;
}

mkdirSync(logs, { recursive: true });
const legs = [...simulated, ...real].filter(isWanted);
if (legs.length === 0) {
  const all = [...simulated, ...real].map((leg) => leg.name).join(' ');
  console.log(`no leg is named ${texts.join(' or ')}; there are: ${all}`);
  process.exitCode = 1;
} else {
  const failed = (await Promise.all([runLane(simulated), runLane(real)])).flat();
  const names = failed.length > 0 ? `; failed: ${failed.join(' ')}` : '';
  console.log(`${legs.length - failed.length} of ${legs.length} legs passed${names}`);
  process.exitCode ??= failed.length > 0 ? 1 : 0;
}

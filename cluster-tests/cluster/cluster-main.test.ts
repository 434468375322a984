// time limit: 600 s
// test limit: 400 s
/**
 * `npm run cluster`: the smoke from nothing passes and leaves nothing; ended by Ctrl-C it leaves nothing; what
 * cannot be run is said in one line. The faults of the smoke take minutes and are run by hand
 * (docs/how-to/run-a-cluster.md).
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runningPrefixes } from './cluster-topology.ts';
import { listPrefixes } from './topology-record.ts';

const test = suite('cluster-main');
const main = join(import.meta.dirname, 'cluster-main.ts');

interface Report {
  readonly cluster: string;
  readonly passed: boolean;
  readonly steps: readonly { readonly name: string; readonly outcome: string; readonly seen: string }[];
}

/** @param seen called with everything printed so far */
async function cluster(argv: readonly string[], seen: (text: string) => NodeJS.Signals | void = () => undefined) {
  const child = spawn(process.execPath, [main, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    const signal = seen(text);
    if (signal) child.kill(signal);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

const isGone = (prefix: string): boolean => !runningPrefixes().includes(prefix) && !listPrefixes().includes(prefix);

test('a smoke from nothing passes every step, writes its report and leaves nothing', async () => {
  const { code, text } = await cluster(['fresh-smoke', '--fault', 'none']);
  assert.is(code, 0, text);
  assert.match(text, /\n9 passed, 0 failed\nfresh-smoke passed in \d+\.\d s\nreport  \S+\/report\.json\n$/);
  const path = /^report  (\S+)$/m.exec(text)?.[1] ?? '';
  const report = JSON.parse(readFileSync(path, 'utf8')) as Report;
  assert.ok(report.passed);
  const judged = report.steps.find(({ name }) => name === 'every answered visit is there');
  assert.match(judged?.seen ?? '', /^\d\d+ answered, all there, each once$/);
  assert.ok(isGone(report.cluster));
});

test('a smoke that is ended by Ctrl-C leaves nothing', async () => {
  let prefix = '';
  const { code } = await cluster(['fresh-smoke'], (text) => {
    prefix ||= /cluster (six-\w+):/.exec(text)?.[1] ?? '';
    return /store ready/.test(text) ? 'SIGINT' : undefined;
  });
  assert.is(code, 130);
  assert.match(prefix, /^six-/);
  assert.ok(isGone(prefix));
});

test('what cannot be run is said in a line, with a status that is not 0', () => {
  const run = (...argv: readonly string[]) => spawnSync(process.execPath, [main, ...argv], { encoding: 'utf8' });
  const wrongs: readonly (readonly [readonly string[], number, RegExp])[] = [
    [
      ['fresh-smoke', '--fault', 'meteor'],
      1,
      /^cluster: there is no fault meteor; there are controller, store, .*none\n$/,
    ],
    [
      ['logs', 'node01', '--cluster', 'six-none'],
      1,
      /^cluster: no cluster six-none: see `npm run cluster -- status`\n$/,
    ],
    [['demo-vm-webapp', '--cluster', 'six-none'], 1, /^cluster: no cluster six-none/],
    [['--fast'], 1, /^cluster: Unknown option '--fast'/],
  ];
  for (const [argv, status, said] of wrongs) {
    const { status: ended, stderr } = run(...argv);
    assert.is(ended, status, argv.join(' '));
    assert.match(stderr, said);
  }
  assert.is(run('fly').status, 2);
});

test.run();

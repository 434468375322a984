/**
 * Coprocesses with the real `ip` and `nft`: each answer is assigned to its own command, a missing answer is `unknown`,
 * and a process that died is replaced.
 */
// needs: kernel
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Coprocess } from './coprocess.ts';
import { codeOf, inOwnNamespaces } from './dataplane-for-tests.ts';
import { readDescriptors, requireDescriptors } from './descriptor-reserve.ts';
import { command } from './kernel-command.ts';
import { runProgram } from './program.ts';

const ip = (): Coprocess => new Coprocess('ip', ['ip', '-j', '-force', '-batch', '-'], 'batch');
const nft = (): Coprocess => new Coprocess('nft', ['nft', '-i'], 'nft');

inOwnNamespaces(import.meta.filename, () => {
  test('an error is assigned to the command that caused it, also when requests are sent at the same time', async () => {
    const tool = ip();
    const answers = await Promise.all([
      tool.run(['link add d0 type bridge', 'route replace 10.0.0.1/32 dev nowhere', 'link set d0 up']),
      tool.run(['route replace 10.0.0.2/32 dev d0', 'link show dev d0']),
      tool.run(['link set nothing up', 'link set nothing2 up']),
    ]);
    assert.equal(
      answers[0].failures.map((one) => one.index),
      [1],
    );
    assert.match(answers[0].failures[0]?.text ?? '', /nowhere/);
    assert.equal(answers[1].failures, []);
    assert.match(answers[1].printed[0] ?? '', /"ifname":"d0"/);
    assert.equal(
      answers[2].failures.map((one) => one.index),
      [0, 1],
    );
    await tool.close();
  });

  test('without a file descriptor left nothing ends, the error has a name, and later it works again', async () => {
    const tool = ip();
    const held: number[] = [];
    const limits = execFileSync('prlimit', ['--pid', `${process.pid}`, '--nofile', '--noheadings', '-o', 'SOFT,HARD']);
    const [soft, hard] = limits.toString().trim().split(/\s+/);
    const limitTo = (most: string): void =>
      void execFileSync('prlimit', ['--pid', `${process.pid}`, `--nofile=${most}:${hard}`]);
    const { used } = await readDescriptors();
    const program = { program: 'true', args: [], what: 'running nothing' };
    limitTo(`${used + 40}`);
    try {
      assert.is(await codeOf(requireDescriptors('A test')), 'descriptors_low');
      await runProgram(program);
      for (;;) held.push(openSync('/dev/null', 'r'));
    } catch (error) {
      assert.match(String(error), /EMFILE/);
      assert.is(await codeOf(requireDescriptors('A test')), 'descriptors_low');
      assert.is(await codeOf(tool.run(['link show'])), 'kernel_exhausted');
      assert.is(await codeOf(runProgram(program)), 'kernel_exhausted');
    } finally {
      for (const descriptor of held) closeSync(descriptor);
      limitTo(soft ?? '1024');
    }
    assert.equal((await tool.run(['link show'])).failures, []);
    await runProgram(program);
    await requireDescriptors('A test');
    await tool.close();
  });

  test('nft: a request is one transaction, and its error is not reported for the next request', async () => {
    const tool = nft();
    await tool.run(['add table inet t; add set inet t s { type ipv4_addr; }']);
    const [bad, good] = await Promise.all([
      tool.run(['add element inet t s { 10.0.0.1 }; add element inet t none { 10.0.0.2 }']),
      tool.run(['list set inet t s']),
    ]);
    assert.is(bad.failures.length, 1);
    assert.equal(good.failures, []);
    assert.not.match(good.printed.join('\n'), /10\.0\.0\.1/);
    const syntax = await tool.run(['add nonsense now']);
    assert.match(syntax.failures[0]?.text ?? '', /syntax error/);
    assert.equal((await tool.run(['add element inet t s { 10.0.0.3 }'])).failures, []);
    await tool.close();
  });

  test('a long request and many concurrent requests get complete answers', async () => {
    const tool = nft();
    const elements = Array.from({ length: 2000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`).join(', ');
    assert.equal((await tool.run([`add element inet t s { ${elements} }`])).failures, []);
    const listed = await tool.run(['list set inet t s']);
    assert.match(listed.printed.join(' '), /10\.1\.7\.207/);
    await Promise.all(
      Array.from({ length: 300 }, (_, index) => tool.run([`add element inet t s { 10.9.0.${index % 250} }`])),
    );
    await tool.close();
  });

  test('a request without an answer is unknown, and the next request gets a new process', async () => {
    const silent = new Coprocess('silent', ['sleep', '60'], 'batch');
    assert.is(await codeOf(silent.run(['link show'], 200)), 'coprocess_timeout');
    const dying = new Coprocess('dying', ['sh', '-c', 'read line; exit 3'], 'batch');
    assert.is(await codeOf(dying.run(['link show'])), 'coprocess_died');
    const tool = ip();
    await tool.run(['link show']);
    await tool.close();
    assert.equal((await tool.run(['link show dev lo'])).failures, []);
    await tool.close();
  });

  test('a line break never becomes a second command', async () => {
    const tool = ip();
    assert.match(String(await tool.run(['link show\nlink delete d0']).catch((error: unknown) => error)), /line break/);
    for (const word of ['d0 up', 'd0;', 'd0\n', '$(x)', '', '-x\0'])
      assert.throws(() => command`link set ${word} up`, /plain word/);
    await tool.close();
  });
});

test.run();

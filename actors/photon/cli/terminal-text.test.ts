/** No text of others reaches a terminal as it is, and programs still read exactly the value. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { cleanLine, cleanText } from '@photoncloud/runtime/contract/shown-text';
import { CliForTests } from './cli-for-tests.ts';
import { jsonText, yamlText } from './terminal-text.ts';

const test = suite('text on a terminal');
const evil = '\u001b]0;owned\u0007\u009b31m\u202egnp\u200b\r\u0085\ttail\u{e0041}';
const raw = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u;
const colours = new RegExp(`${String.fromCharCode(27)}\\[(?:2|22|3[1239])m`, 'g');

const view = () => ({
  spec: { note: evil, [`key${evil}`]: 1 },
  status: { failure: { code: 'x', message: `a\n${evil}` } },
});
const refusal = {
  group: 'rejection' as const,
  code: 'in_use',
  message: `no: ${evil}\nvm/acme/web-1 deleted`,
  retryable: false,
  public: true,
  issues: [{ path: `spec${evil}`, message: evil }],
};
const cli = await CliForTests.start({ answer: async () => ({ ok: false, version: 1, error: refusal }) }, view);
test.after(() => cli.stop());
cli.api.store.put('vm/acme/web-1', 'running');

test('control characters are shown as escapes, a newline only inside a line', () => {
  assert.is(
    cleanText('a\u001b[31m\nb\u009b\u202e\u{e0041}\ud800'),
    'a\\u001b[31m\nb\\u009b\\u202e\\udb40\\udc41\\ud800',
  );
  assert.is(cleanLine('a\nb'), 'a\\nb');
  assert.is(cleanText('plain é 漢字 👍'), 'plain é 漢字 👍');
});

test('JSON and YAML hold the exact value without a character that a terminal obeys', () => {
  const value = { [`key${evil}`]: [evil, { deep: `${evil}\n${evil}` }], plain: 'é' };
  for (const text of [jsonText(value), jsonText(value, 2), yamlText(value)]) assert.not.match(text, raw);
  assert.equal(JSON.parse(jsonText(value, 2)), value);
  assert.equal(parse(yamlText(value)), value);
});

for (const terminal of [true, false]) {
  test(`answers and errors of others come out clean ${terminal ? 'on a terminal' : 'in a pipe'}`, async () => {
    const commands = [
      ['get', 'vm/acme/web-1', '-o', 'json'],
      ['get', 'vm/acme/web-1', '-o', 'yaml'],
      ['describe', 'vm/acme/web-1'],
      ['delete', 'vm/acme/web-1'],
      ['list', `v${evil}`],
      [`verb${evil}`],
    ];
    for (const argv of commands) {
      const { stdout, stderr } = await cli.run(argv, { terminal });
      // Colours are ours; a terminal also ends its lines with a carriage return.
      const shown = `${stdout}${stderr}`.replaceAll(colours, '').replaceAll('\r\n', '\n');
      assert.not.match(shown, raw, argv.join(' '));
      assert.not.match(shown, /^vm\/acme\/web-1 deleted/m, 'a message cannot begin a line of its own');
    }
  });
}

test('get -o json prints the very value, in a pipe and on a terminal', async () => {
  for (const terminal of [true, false]) {
    const { stdout } = await cli.run(['get', 'vm/acme/web-1', '-o', 'json'], { terminal });
    assert.equal((JSON.parse(stdout) as { spec: unknown }).spec, { note: evil, [`key${evil}`]: 1 });
  }
});

test('a terminal shows colours', async () => {
  assert.match((await cli.run(['list', 'vm'], { terminal: true })).stdout, '\u001b[32mrunning\u001b[39m');
  assert.not.match((await cli.run(['list', 'vm'], { terminal: true, env: { NO_COLOR: '1' } })).stdout, '\u001b');
});

test('only terminal-text.ts writes to standard output and standard error', () => {
  const folders = [import.meta.dirname, join(import.meta.dirname, '..')];
  const files = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  const writers = files
    .filter((path) => path.endsWith('.ts') && !path.endsWith('-main.ts') && !/test/.test(path))
    .concat(join(import.meta.dirname, '../photon-main.ts'))
    .filter((path) => /process\.std(?:out|err)\.write|console\.\w/.test(readFileSync(path, 'utf8')))
    .map((path) => path.slice(path.lastIndexOf('/') + 1));
  // The launcher runs on a Node that is too old for anything else and writes a text of its own.
  assert.equal(writers.sort(), ['photon-launcher.ts', 'terminal-text.ts']);
});

test.run();

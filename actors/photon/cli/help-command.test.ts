/** Help, and what the program says of a verb, a name or a file that was typed wrongly. */
import type { Command } from 'commander';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { CliForTests } from './cli-for-tests.ts';
import { createCli } from './cli-program.ts';
import { explain } from './cli-session.ts';

const test = suite('help');
const cli = await CliForTests.start();
const { store } = cli.api;
test.after(() => cli.stop());

test('every verb has help with an example; help of a verb that does not exist is a usage error', async () => {
  const verbsOf = (group: Command): readonly Command[] =>
    group.commands.length === 0 ? [group] : group.commands.flatMap(verbsOf);
  const helpOf = (verb: Command): string => {
    let text = '';
    verb.configureOutput({ writeOut: (more) => (text += more) }).outputHelp();
    return text;
  };
  const without = verbsOf(createCli()).filter((verb) => !/^Examples?:\n {2}photon /m.test(helpOf(verb)));
  assert.equal(
    without.map((verb) => verb.name()),
    [],
  );
  const asked = [
    ['imag', '--help'],
    ['vm', 'stopp', '--help'],
    ['help', 'vm', 'stopp'],
    ['help', 'imag'],
  ];
  for (const { code, stdout, stderr } of await Promise.all(asked.map((argv) => cli.run(argv)))) {
    assert.equal([code, stdout], [2, '']);
    assert.match(stderr, /unknown command '(imag'; did you mean image\?|stopp'; did you mean stop\?)/);
  }
  const shown = [
    ['help', 'vm', 'stop'],
    ['vm', 'help', 'stop'],
    ['vm', 'stop', '--help'],
  ];
  for (const { code, stdout } of await Promise.all(shown.map((argv) => cli.run(argv)))) {
    assert.is(code, 0);
    assert.match(stdout, /^Usage: photon vm stop [\s\S]*--grace <seconds>[\s\S]*photon vm stop web-1/);
  }
});

test('the grace time of a stop is sent; a file that is none, and a foreign volume, are refused here', async () => {
  store.put('vm/acme/web-1', 'stopped');
  assert.is((await cli.run(['vm', 'stop', 'vm/acme/web-1', '--grace', '3'])).code, 0);
  assert.equal(
    cli.api.asked.map(({ event }) => (event as unknown as { graceMs: number }).graceMs),
    [3_000],
  );
  const upload = ['-t', 'acme', 'image', 'upload', '--name', 'a', '--format', 'raw'];
  const refused = [
    [[...upload, '/nowhere/a.raw'], '/nowhere/a.raw cannot be read ('],
    [[...upload, cli.folder], 'it is not a regular file'],
    [
      ['-t', 'acme', 'snapshot', 'create', 'a', '--volume', 'volume/bits/b'],
      'is of another tenant than snapshot/acme/a',
    ],
    [['-t', 'acme', 'volume', 'restore', 'a', '--snapshot', 'volume/acme/b'], 'is no snapshot'],
    [['-t', 'acme', 'snapshot', 'create', 'F', '--volume', 'b'], 'a name is 1 to 40 of a-z'],
  ] as const;
  for (const [argv, says] of refused) {
    const { code, stderr } = await cli.run(argv);
    assert.is(code, 2, stderr);
    assert.match(stderr, says);
  }
  assert.equal(cli.api.asked.length, 1);
});

test('an issue that says the same as the message tells only where', () => {
  const issues = [{ path: 'spec.volume', message: 'there is no volume/acme/a' }];
  const error = new PhotonError('rejection', 'volume_not_found', 'there is no volume/acme/a', { issues });
  assert.is(explain(error).text, 'photon: there is no volume/acme/a (volume_not_found)\n  at spec.volume');
});

test.run();

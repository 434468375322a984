// test limit: 300 s
/** The program as its users run it: durations, exit codes, and what a server that answers late or never does to it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import { CliForTests, pause } from './cli-for-tests.ts';
import { explain, openSession } from './cli-session.ts';
import { differenceText } from './apply-documents.ts';
import { deadlineIn } from './deadline.ts';
import { list, listWatch } from './list-commands.ts';
import { wait } from './object-commands.ts';
import { targetOf, targetsOf } from './targets.ts';
import { bornMs } from './text-table.ts';

const test = suite('photon');
let answer = async (): Promise<Reply> => ({ ok: true, version: 1, result: {} });
const status = { host: 'w2', runs: 3, ports: { 'port/acme/a': { address: '10.0.0.5' } } };
const cli = await CliForTests.start({ answer: () => answer() }, () => ({ spec: {}, status }));
const { store } = cli.api;
test.after(() => cli.stop());
test.before.each(() => {
  answer = async () => ({ ok: true, version: 1, result: {} });
  cli.api.asked.length = 0;
});
const never = new Promise<never>(() => undefined);
const secondsOf = async (work: Promise<unknown>): Promise<number> => {
  const startMs = performance.now();
  await work;
  return (performance.now() - startMs) / 1_000;
};

test('a wait of more than 2^31 ms waits, and ends when the state is reached', async () => {
  store.put('vm/acme/long', 'running');
  const waiting = cli.run(['wait', 'vm/acme/long', '--for', 'stopped', '--timeout', '2147484']);
  let ended = false;
  void waiting.then(() => (ended = true));
  await pause(3_000);
  assert.not(ended);
  store.put('vm/acme/long', 'stopped');
  assert.equal(await waiting, { code: 0, stdout: 'vm/acme/long stopped\n', stderr: '' });
});

test('a duration or number out of range is a usage error, and nothing is sent', async () => {
  const values = ['0', '-5', '31536001', '1e3'];
  const stop = ['vm', 'stop', 'vm/acme/web-1'];
  for (const { code, stderr } of await Promise.all(values.map((value) => cli.run([...stop, `--timeout=${value}`])))) {
    assert.is(code, 2);
    assert.match(stderr, /--timeout/);
  }
  assert.is((await cli.run(['init', '--dir', 'x', '--cluster', 'y', '--api-port', 'seven'])).code, 2);
  assert.is(cli.api.asked.length, 0);
});

test('--timeout bounds the whole command, whoever does not answer', async () => {
  answer = () => never;
  store.put('vm/acme/slow', 'running');
  const file = cli.file(
    'two.yaml',
    'kind: tenant\nname: acme\n---\nkind: volume\ntenant: acme\nname: v\nspec: { sizeMib: 8 }\n',
  );
  const commands = [
    ['vm', 'stop', 'vm/acme/slow', '--timeout', '2'],
    ['apply', '-f', file, '--timeout', '2'],
    ['wait', 'vm/acme/slow', '--for', 'stopped', '--timeout', '2'],
  ];
  const runs = Promise.all(commands.map((argv) => cli.run(argv)));
  // Without the bound the first two wait 30 s for the server.
  assert.ok((await secondsOf(runs)) < 25);
  assert.equal(
    (await runs).map(({ code }) => code),
    [4, 4, 4],
  );
});

test('a kind, state or host that does not exist is a usage error that names the one that was meant', async () => {
  store.put('host/system/w1', 'ready');
  store.put('segment/acme/main@w1', 'ready');
  store.put('vm/acme/web-1', 'running');
  const session = await openSession({ as: cli.clientFile('root'), tenant: 'acme' });
  const tenant = await openSession({ as: cli.clientFile('ann') });
  const waiting = { until: 'stoped', deadline: deadlineIn(5) };
  const cases: readonly (readonly [() => unknown, string])[] = [
    [() => list(session, { kind: 'vms' }, 'table'), 'There is no kind vms; did you mean vm?'],
    [() => listWatch(session, { kind: 'vms' }, 'json'), 'There is no kind vms; did you mean vm?'],
    [() => targetOf(session, 'vms/acme/web-1', undefined), 'There is no kind vms; did you mean vm?'],
    [() => targetOf(session, 'vmm', 'web-1'), 'There is no kind vmm; did you mean vm?'],
    [
      () => targetsOf(session, ['vm/acme/a', 'bucket/acme/r']),
      'There is no kind bucket; there are: address-set, agent,',
    ],
    [() => list(session, { kind: 'vm', state: 'runing' }, 'table'), 'vm has no state runing; did you mean running?'],
    [() => wait(session, 'vm/acme/web-1', waiting), 'vm has no state stoped; did you mean stopped?'],
    [() => list(session, { host: 'w9' }, 'table'), 'There is no host w9; did you mean w1?'],
    [() => list(session, { kind: 'vm', host: 'w9' }, 'table'), 'There is no host w9; did you mean w1?'],
    [() => list(tenant, { host: 'w9' }, 'table'), 'Only operators see on which host an object is; leave out --host.'],
    [() => targetOf(session, 'vm', 'port/acme/p1'), 'port/acme/p1 is no vm'],
    [() => targetOf(session, 'vm/acme/web_1', undefined), 'vm/acme/web_1 is not the id of an object'],
  ];
  for (const [run, said] of cases) {
    const refused = await Promise.resolve()
      .then(run)
      .then(() => ({ text: 'was accepted', exitCode: 0 }), explain);
    assert.match(refused.text, said);
    assert.is(refused.exitCode, 2, said);
  }
  // Known names with nothing behind them are no errors.
  await list(session, { kind: 'vm', host: 'w1' }, 'table');
  await list(session, { kind: 'vm', state: 'failed' }, 'table');
  session.close();
  tenant.close();
});

test('an object is named by KIND NAME, KIND/NAME or its id, also where the kind is known', async () => {
  const session = await openSession({ as: cli.clientFile('root'), tenant: 'acme' });
  for (const name of ['vm/acme/web-1', 'web-1', 'vm/web-1']) assert.is(targetOf(session, 'vm', name), 'vm/acme/web-1');
  for (const name of ['host/system/w1', 'w1', 'host/w1']) assert.is(targetOf(session, 'host', name), 'host/system/w1');
  assert.is(targetOf(session, 'vm/web-1', undefined), 'vm/acme/web-1');
  assert.equal(targetsOf(session, ['vm', 'a', 'vm/bits/b']), ['vm/acme/a', 'vm/bits/b']);
  session.close();
  const { code, stdout } = await cli.run(['vm', 'stop', 'vm/acme/web-1', '--no-wait']);
  assert.equal([code, stdout], [0, 'vm/acme/web-1 stop accepted {"id":"vm/acme/web-1","version":1,"result":{}}\n']);
});

const two = 'kind: tenant\nname: acme\n---\nkind: volume\nname: data\nspec: { sizeMib: 8 }\n';
const applied = (): string[] => cli.api.asked.map(({ to, event }) => `${event.type} ${String(to)}`);

test('apply and diff take several files, names relative to the caller, and the tenant from -t', async () => {
  cli.file('one.yaml', two);
  cli.file('two.yaml', 'kind: volume\nname: more\nspec: { sizeMib: 8 }\n');
  for (const id of ['tenant/acme/acme', 'volume/acme/data', 'volume/acme/more']) store.put(id, 'ready');
  const files = ['-f', 'one.yaml', '-f', 'two.yaml'];
  const both = await cli.run(['-t', 'acme', 'apply', ...files]);
  assert.is(both.code, 0, both.stderr);
  assert.equal(applied(), [
    'tenant.apply tenant/acme/acme',
    'volume.apply volume/acme/data',
    'volume.apply volume/acme/more',
  ]);
  assert.match((await cli.run(['-t', 'acme', 'diff', ...files])).stdout, 'of 3 differ');
  const npm = { npm_lifecycle_event: 'photon', INIT_CWD: cli.folder };
  const fromTop = await cli.run(['-t', 'acme', 'apply', '-f', 'two.yaml'], { folder: '/', env: npm });
  assert.is(fromTop.code, 0, fromTop.stderr);
  const none = await cli.run(['apply', ...files]);
  assert.match(none.stderr, 'one.yaml#2 tenant: is missing; write it, or name one with -t TENANT');
  assert.is(none.code, 1);
});

test('apply --dry-run asks each actor, and tries no object before those that it refers to exist', async () => {
  const reply = (result: object) => ({ ok: true as const, version: 1, result: { dryRun: true, ...result } });
  answer = async () => reply({ from: null, result: null });
  const vpc =
    'kind: vpc\nname: side\n---\nkind: network\nname: back\nspec: { vpc: side, subnets: [{ cidr: 10.9.0.0/24 }] }\n';
  const file = cli.file('dry.yaml', `kind: tenant\nname: fresh\n---\n${vpc}`);
  const { code, stdout, stderr } = await cli.run(['-t', 'fresh', 'apply', '-f', file, '--dry-run']);
  const lines = ['tenant/fresh/fresh', 'vpc/fresh/side', 'network/fresh/back'].map(
    (id) => `created    ${id}  (dry run)\n`,
  );
  assert.equal([code, stdout, stderr], [0, lines.join(''), '']);
  assert.equal(
    cli.api.asked.map(({ event }) => event.type),
    ['actor.dry-run'],
  );
  const alone = cli.file('alone.yaml', vpc.split('---\n')[1] ?? '');
  const refused = await cli.run(['-t', 'fresh', 'apply', '-f', alone, '--dry-run']);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, 'there is no vpc/fresh/side');
  const vm = 'kind: vm\nname: web\nspec: { nics: [{ network: back }], disks: [{ volume: dta }] }\n';
  const misnamed = cli.file('wrong.yaml', `kind: tenant\nname: fresh\n---\n${vpc}---\n${vm}`);
  const wrong = await cli.run(['-t', 'fresh', 'apply', '-f', misnamed, '--dry-run']);
  assert.match(wrong.stderr, 'photon: spec.disks.0.volume: there is no volume/fresh/dta in fresh');
  assert.not.match(wrong.stderr, 'network/fresh/back');
});

test('an apply that is refused at one object says how far it came', async () => {
  answer = async () => {
    const isFirst = cli.api.asked.length === 1;
    if (isFirst) return { ok: true, version: 1, result: {} };
    return { ok: false, version: 0, error: new PhotonError('rejection', 'in_use', 'no', { public: true }).record };
  };
  for (const id of ['tenant/acme/acme', 'volume/acme/data']) store.put(id, 'ready');
  const more = `${two}---\nkind: volume\nname: more\nspec: { sizeMib: 8 }\n`;
  const { code, stderr } = await cli.run(['-t', 'acme', 'apply', '-f', cli.file('three.yaml', more)]);
  assert.is(code, 1);
  assert.match(stderr, /^stopped at volume\/acme\/data: 1 applied before it, 1 not tried\nphoton: no \(in_use\)/);
});

test('a missing option is answered with where to read about it', async () => {
  const { code, stderr } = await cli.run(['apply', 'network.yaml']);
  assert.is(code, 2);
  assert.match(stderr, /'-f, --file <path>' not specified\n[^]*photon VERB --help/);
});

test('diff marks items of a list that come and go, and shows a new order by the keys alone', () => {
  const change = 'replace' as const;
  const text = differenceText({
    id: 'network/acme/front',
    result: 'replace',
    changes: [
      { path: 'spec.subnets.0', before: { cidr: 'a' }, after: null, change, of: 'removal' },
      { path: 'spec.subnets.2', before: null, after: { cidr: 'c' }, change: 'in place', of: 'addition' },
      { path: 'spec.subnets', before: ['a', 'b'], after: ['b', 'a'], change, of: 'order' },
      { path: 'spec.mtu', before: 1_400, after: 1_450, change },
    ],
  });
  assert.equal(text.split('\n').slice(1), [
    '    spec.subnets.0  - {"cidr":"a"}  (cannot change)',
    '    spec.subnets.2  + {"cidr":"c"}',
    '    spec.subnets    order ["a","b"] -> ["b","a"]  (cannot change)',
    '    spec.mtu        1400 -> 1450  (cannot change)',
  ]);
});

test('a list that is replaced as a whole is shown by the items that come and go', () => {
  const rule = { direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 }, remote: null, description: '' };
  const text = differenceText({
    id: 'security-group/acme/web',
    result: 'update',
    changes: [
      {
        path: 'spec.rules',
        before: [rule, { direction: 'egress', remote: null }],
        after: [
          { ...rule, remote: { cidr: '10.0.0.0/8' } },
          { direction: 'egress', remote: null },
        ],
        change: 'in place',
      },
    ],
  });
  assert.equal(text.split('\n').slice(1), [
    '    spec.rules',
    '      - {"direction":"ingress","protocol":"tcp","ports":{"from":80,"to":80}}',
    '      + {"direction":"ingress","protocol":"tcp","ports":{"from":80,"to":80},"remote":{"cidr":"10.0.0.0/8"}}',
  ]);
});

test('a file without a document is named and ends apply, diff and delete with the exit code for usage', async () => {
  cli.file('empty.yaml', '# nothing\n---\n');
  const runs = ['apply', 'diff', 'delete'].map((verb) => cli.run([verb, '-f', 'empty.yaml']));
  for (const { code, stderr } of await Promise.all(runs)) {
    assert.is(code, 2);
    assert.match(stderr, 'empty.yaml: declares no object; nothing was changed');
  }
});

test('delete takes several names, files in the order of dependencies, and all of a kind if confirmed', async () => {
  const deleted = (): string[] => cli.api.asked.map(({ to }) => String(to));
  assert.is(
    (await cli.run(['-t', 'acme', 'delete', 'volume', 'a', 'b'])).stdout,
    'volume/acme/a deleted\nvolume/acme/b deleted\n',
  );
  await cli.run(['delete', 'network/acme/front', 'vm/acme/web-1', 'image/acme/kernel']);
  assert.equal(deleted().slice(2), ['vm/acme/web-1', 'image/acme/kernel', 'network/acme/front']);
  cli.api.asked.length = 0;
  cli.file('one.yaml', two);
  await cli.run(['-t', 'acme', 'delete', '-f', 'one.yaml']);
  assert.equal(deleted(), ['volume/acme/data', 'tenant/acme/acme']);
  cli.api.asked.length = 0;
  store.put('volume/acme/x', 'ready');
  store.put('volume/bits/y', 'ready');
  const unasked = await cli.run(['-t', 'acme', 'delete', 'volume', '--all']);
  assert.is(unasked.code, 2);
  assert.match(unasked.stderr, /this deletes 3 objects: .*volume\/acme\/x; say --yes/);
  assert.is(deleted().length, 0);
  const terminal = { terminal: true, input: 'n\n' };
  assert.match((await cli.run(['-t', 'acme', 'delete', 'volume', '--all'], terminal)).stdout, 'nothing was deleted');
  assert.is(deleted().length, 0);
  assert.is((await cli.run(['-t', 'acme', 'delete', 'volume', '--all', '--yes'])).code, 0);
  assert.equal(deleted(), ['volume/acme/data', 'volume/acme/more', 'volume/acme/x']);
  assert.is((await cli.run(['delete', 'vm/acme/a', '--all'])).code, 2);
});

test('a delete that is refused does not stop the others, and one that a file names may be gone', async () => {
  let first = true;
  const error = { group: 'rejection', code: 'in_use', message: 'in use', retryable: false, public: true } as const;
  answer = async () => {
    const refused = first;
    first = false;
    return refused ? { ok: false, version: 1, error } : { ok: true, version: 1, result: {} };
  };
  const some = await cli.run(['-t', 'acme', 'delete', 'volume', 'a', 'b']);
  assert.equal([some.code, some.stdout], [1, 'volume/acme/b deleted\n']);
  assert.match(some.stderr, 'volume/acme/a: photon: in use (in_use)');
  answer = async () => ({ ok: false, version: 0, error: { ...error, code: 'not_found' } });
  const gone = await cli.run(['-t', 'acme', 'delete', '-f', cli.file('one.yaml', two)]);
  assert.equal([gone.code, gone.stdout], [0, 'volume/acme/data was not there\ntenant/acme/acme was not there\n']);
  assert.is((await cli.run(['delete', 'volume/acme/a'])).code, 3);
});

test('a reader that closes the pipe ends a watch, and no apply half way', async () => {
  const changes = setInterval(() => store.put('vm/acme/long', 'stopped'), 200);
  const watch = await cli.run(['list', 'vm', '--watch'], { head: true }).finally(() => clearInterval(changes));
  assert.equal([watch.code, watch.stderr], [0, '']);
  cli.api.asked.length = 0;
  const volumes = Array.from(
    { length: 20 },
    (_, at) => `kind: volume\ntenant: acme\nname: v${at}\nspec: { sizeMib: 8 }\n`,
  );
  for (let at = 0; at < 20; at += 1) store.put(`volume/acme/v${at}`, 'available');
  const apply = await cli.run(['apply', '-f', '-'], { head: true, input: volumes.join('---\n') });
  assert.equal([apply.code, apply.stderr], [0, '']);
  assert.is(cli.api.asked.length, 20);
});

test('list -o wide shows addresses, host, restarts and age; --watch -o json prints lines of JSON', async () => {
  const wide = (await cli.run(['list', 'vm', '-o', 'wide'])).stdout.split('\n');
  assert.match(wide[0] ?? '', /ADDRESSES +HOST +RESTARTS +MANAGED BY +AGE/);
  assert.match(wide[1] ?? '', /vm\/acme\/long .* 10\.0\.0\.5 +w2 +2 +- +-/);
  assert.is(bornMs('01HF7YAT000000000000000000'), 1_700_000_000_000);
  const changes = setInterval(() => store.put('vm/acme/long', 'stopped'), 200);
  const json = cli.run(['list', 'vm', '--watch', '-o', 'json'], { head: true }).finally(() => clearInterval(changes));
  const lines = (await json).stdout.trim().split('\n');
  const [line] = lines.map((text) => JSON.parse(text) as { type: string; actor: { id: string } });
  assert.equal([line?.type, line?.actor.id], ['item', 'vm/acme/long']);
  assert.is((await cli.run(['list', 'vm', '--watch', '-o', 'wide'])).code, 2);
});

test('vm logs prints what the guest wrote, with its control characters as escapes', async () => {
  const lastRun = { host: 'w1', incarnationUid: 'U1' };
  const read: string[] = [];
  const readOutput = async ({ node, path }: { node: string; path: string }): Promise<string> => {
    read.push(`${node} ${path}`);
    return 'booted\r\n\u001b[31mlogin: \u202e\r\n';
  };
  const own = await CliForTests.start({ more: { readOutput } });
  try {
    own.api.store.put('vm/acme/web-1', 'running');
    own.api.store.put('vm/acme/fresh', 'unplaced');
    for (const name of ['web-1', 'fresh']) {
      const id = actorId(`vm/acme/${name}`);
      const stored = own.api.store.actors.get(id);
      assert.ok(stored);
      own.api.store.actors.set(id, { ...stored, context: { lastRun: name === 'web-1' ? lastRun : null } });
    }
    const { code, stdout } = await own.run(['-t', 'acme', 'vm', 'logs', 'web-1']);
    assert.equal([code, stdout], [0, 'booted\n\\u001b[31mlogin: \\u202e\n']);
    assert.equal(read, ['w1 /consoles/acme/web-1']);
    const none = await own.run(['-t', 'acme', 'vm', 'logs', 'fresh']);
    assert.is(none.code, 1);
    assert.match(none.stderr, 'has printed nothing');
  } finally {
    await own.stop();
  }
});

test('open prints a link of one use, at the address of the API or at the one in the client file', async () => {
  const { stdout, code } = await cli.run(['open']);
  assert.is(code, 0);
  const [, secret] = /^http:\/\/127\.0\.0\.1:\d+\/open#(\S+)\n$/.exec(stdout) ?? [];
  const post = async () =>
    (
      await fetch(`${cli.api.httpUrl}/api/session`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: cli.api.httpUrl },
        body: JSON.stringify({ secret }),
      })
    ).status;
  assert.equal([await post(), await post()], [204, 401]);
});

test('--version and help work without a client file', async () => {
  assert.match((await cli.run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  assert.match((await cli.run(['delete', '--help'])).stdout, /Examples:/);
});

test.run();

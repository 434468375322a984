/** What the metadata service answers, on a clock of the test: who may ask, how often, with what. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { metadataAnswers, type GuestRecord } from './metadata-answers.ts';

const ttl = 'x-aws-ec2-metadata-token-ttl-seconds';
const tokenHeader = 'x-aws-ec2-metadata-token';
const web: GuestRecord = {
  instanceId: 'U1',
  hostname: 'web',
  sshKeys: ['ssh-ed25519 AAAA ann@home', 'ssh-ed25519 BBBB'],
  userData: '#cloud-config\n',
  mac: '02:00:00:00:00:01',
};
const other: GuestRecord = { ...web, instanceId: 'U2', hostname: 'other', sshKeys: [], userData: null };

function service() {
  let nowMs = 1_000_000;
  const records: Record<string, GuestRecord> = { '10.0.0.5': web, '10.0.0.6': other };
  const key = new Uint8Array(32).fill(7);
  const answer = metadataAnswers({ key, nowMs: () => nowMs, read: async (from) => records[from] ?? null });
  const ask = (path: string, headers: Record<string, string> = {}, from = '10.0.0.5', method = 'GET') =>
    answer({ from, method, path, headers });
  const token = async (from = '10.0.0.5', seconds = '60'): Promise<string> =>
    (await ask('/latest/api/token', { [ttl]: seconds }, from, 'PUT')).text;
  return { ask, token, records, pass: (ms: number) => (nowMs += ms) };
}

test('a guest with a token is told what its seed disk says, and nothing else', async () => {
  const { ask, token, pass } = service();
  const own = { [tokenHeader]: await token() };
  const read = async (path: string, from?: string, headers: Record<string, string> = own): Promise<string> => {
    pass(2_000);
    const { status, text } = await ask(path, headers, from);
    return status === 200 ? text : String(status);
  };
  assert.is(await read('/latest/meta-data/'), 'hostname\ninstance-id\nlocal-hostname\nmac\npublic-keys/');
  assert.is(await read('/latest/meta-data/instance-id'), 'U1');
  assert.is(await read('/latest/meta-data/local-hostname'), 'web');
  assert.is(await read('/latest/meta-data/mac'), web.mac);
  assert.is(await read('/latest/meta-data/public-keys/'), '0=ann@home\n1=key-1');
  assert.is(await read('/latest/meta-data/public-keys/1/openssh-key'), 'ssh-ed25519 BBBB');
  assert.is(await read('/latest/user-data'), '#cloud-config\n');
  for (const path of [
    '/latest/meta-data/iam/',
    '/latest/meta-data/__proto__',
    '/',
    '/latest/../etc/passwd',
    '//latest',
  ])
    assert.is(await read(path), '404', path);
  const others = { [tokenHeader]: await token('10.0.0.6') };
  assert.is(await read('/latest/meta-data/', '10.0.0.6', others), 'hostname\ninstance-id\nlocal-hostname\nmac');
  assert.is(await read('/latest/user-data', '10.0.0.6', others), '404');
});

test('without a token of its own, in its time, a guest gets nothing', async () => {
  const { ask, token, records, pass } = service();
  const status = async (headers: Record<string, string>, from?: string): Promise<number> => {
    pass(2_000);
    return (await ask('/latest/meta-data/instance-id', headers, from)).status;
  };
  const own = await token();
  assert.is(await status({}), 401);
  assert.is(await status({ [tokenHeader]: own }), 200);
  assert.is(await status({ [tokenHeader]: own }, '10.0.0.6'), 401, 'of another guest');
  assert.is(await status({ [tokenHeader]: `9${own}` }), 401, 'with another end');
  assert.is(await status({ [tokenHeader]: '' }), 401);
  records['10.0.0.5'] = other;
  assert.is(await status({ [tokenHeader]: own }), 401, 'of the guest that had the address before');
  records['10.0.0.5'] = web;
  pass(60_000);
  assert.is(await status({ [tokenHeader]: own }), 401, 'too old');
});

test('a token is made by a PUT that says how long it lasts', async () => {
  const { ask, pass } = service();
  for (const [method, seconds, status] of [
    ['PUT', '21600', 200],
    ['PUT', '21601', 400],
    ['PUT', '0', 400],
    ['PUT', '-1', 400],
    ['PUT', 'x', 400],
    ['GET', '60', 405],
    ['POST', '60', 405],
  ] as const) {
    pass(2_000);
    const { status: said } = await ask('/latest/api/token', { [ttl]: seconds }, '10.0.0.5', method);
    assert.is(said, status, `${method} ${seconds}`);
  }
  assert.is((await ask('/latest/api/token', {}, '10.0.0.5', 'PUT')).status, 400);
});

test('headers of proxies are refused, and name nobody', async () => {
  const { ask, token, pass } = service();
  const own = await token();
  for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
    pass(2_000);
    const made = await ask('/latest/api/token', { [ttl]: '60', [name]: '10.0.0.6' }, '10.0.0.5', 'PUT');
    pass(2_000);
    const told = await ask('/latest/user-data', { [tokenHeader]: own, [name]: '10.0.0.6' });
    assert.equal([made.status, told.status], [403, 403], name);
  }
});

test('a port may ask ten times in ten seconds, whatever it asks and is answered; others do not notice', async () => {
  const { ask, token, pass } = service();
  const headers = { [tokenHeader]: await token() };
  for (let asked = 1; asked < 10; asked += 1) {
    pass(100);
    await ask('/nothing');
  }
  const late = await ask('/latest/user-data', headers);
  assert.equal([late.status, late.headers], [429, { 'retry-after': '10' }]);
  assert.is((await ask('/latest/api/token', { [ttl]: '60' }, '10.0.0.6', 'PUT')).status, 200);
  pass(9_101);
  assert.is((await ask('/latest/user-data', headers)).status, 200, 'one is ten seconds old');
  assert.is((await ask('/latest/user-data', headers)).status, 429);
});

test('an address of no guest is told nothing', async () => {
  const { ask } = service();
  assert.is((await ask('/latest/api/token', { [ttl]: '60' }, '10.0.0.9', 'PUT')).status, 404);
});

test.run();

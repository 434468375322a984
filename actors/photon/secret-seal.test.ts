/**
 * Secrets of declarations: sealed where a client gives them, so that actors, store and histories never have the text;
 * shown as marks; opened only with the key and for the actor they were given to. Over a real socket of the control API.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isMark, isSealed, masked } from '@photoncloud/machines/values/sealed';
import { newVm } from '@photoncloud/machines/vm/vm-context';
import type { VmSpec } from '@photoncloud/machines/vm/vm-protocol';
import { startTestApi } from '@photoncloud/runtime/control-api/api-for-tests';
import { RawClient } from '@photoncloud/runtime/control-api/raw-client-for-tests';
import { MemoryStore } from '@photoncloud/runtime/control-api/store-for-tests';
import type { HistoryEntry, StoredActor } from '@photoncloud/runtime/contract/journal';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { codeOf } from '../dataplane/dataplane-for-tests.ts';
import { vmDefinition } from '../vm/vm-actor.ts';
import { giveSealKey, openNothing, openSeal, secretSeal } from './secret-seal.ts';

const secret = '#cloud-config\npassword: hunter2 ä\n';
const vm = 'vm/acme/web';
const seal = secretSeal(randomBytes(32));

test('a sealed text is opened with the key that sealed it, for its actor, and is the same each time', () => {
  for (const text of ['', 'x', secret, 'y'.repeat(65_536)]) {
    const sealed = seal.seal(vm, text);
    assert.ok(isSealed(sealed) && !isMark(sealed));
    assert.is(seal.open(vm, sealed), text);
    assert.is(seal.seal(vm, text), sealed);
    assert.not.ok(text.length > 1 && sealed.includes(text));
    const mark = masked(sealed);
    assert.ok(isMark(mark) && !isSealed(mark) && mark.length < 50, mark);
    assert.ok(mark.startsWith(`sealed:1:${Buffer.byteLength(text)}:`));
    assert.is(seal.recall(mark, { deep: [{ in: sealed }] }), sealed);
  }
});

test('a sealed text of another actor, with another key, damaged, or that is none, is not opened', async () => {
  const sealed = seal.seal(vm, secret);
  const other = secretSeal(randomBytes(32));
  const at = sealed.length - 30;
  const damaged = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
  const attempts = [
    () => seal.open('vm/other/web', sealed),
    () => other.open(vm, sealed),
    () => seal.open(vm, damaged),
    () => seal.open(vm, masked(sealed)),
    () => seal.open(vm, secret),
    () => openNothing(vm),
  ];
  for (const attempt of attempts) assert.is(await codeOf((async () => attempt())()), 'secret_unreadable');
  assert.is.not(seal.seal(vm, secret), seal.seal('vm/acme/other', secret));
});

test('a mask changes nothing but secrets, and returns a value without one as it is', () => {
  const plain = { a: [1, { b: 'sealed:1:x' }], c: null };
  assert.is(masked(plain), plain);
  assert.equal(masked({ a: [seal.seal(vm, 'abc')], b: 1 }), { a: [masked(seal.seal(vm, 'abc'))], b: 1 });
});

const nic = { network: 'front', address: null, mac: null, securityGroups: null, addressPairs: [], dnsName: null };
const specOf = (userData: string | null): VmSpec => ({
  cpus: 1,
  memoryMib: 64,
  machineType: null,
  restart: 'never',
  running: false,
  host: null,
  placement: { antiAffinity: null },
  hostFailurePolicy: 'none',
  hostFailureSeconds: 20,
  guestAgent: false,
  nics: [{ ...nic, name: 'eth0', portSecurity: true }],
  disks: [],
  boot: { kernel: 'k', initrd: 'i', commandLine: '' },
  seed: { userData, sshKeys: [], network: true },
});
const { boot: _, nics, ...most } = specOf(secret);
const declared = { ...most, nics, disks: [{ volume: 'root' }] };

/** A store that has this VM, sealed as a command would have sealed it, and the history of its creation. */
function storeWith(userData: string | null): MemoryStore {
  const store = new MemoryStore();
  const sealed = userData === null ? null : seal.seal(vm, userData);
  store.put(vm, 'stopped');
  const id = actorId(vm);
  const spec = specOf(sealed);
  const stored = store.actors.get(id) as StoredActor;
  store.actors.set(id, { ...stored, chartVersion: 2, context: { ...newVm(vm), uid: 'U1', spec } });
  const [entry] = store.past.get(id) as [HistoryEntry];
  store.past.set(id, [{ ...entry, event: { type: 'vm.create', spec }, changed: { spec } }]);
  return store;
}

const registry = { kinds: new Map([['vm', { ...vmDefinition, commands: withoutReferences() }]]) };

/** What a VM refers to is not in the store of this test. */
function withoutReferences(): typeof vmDefinition.commands {
  return Object.fromEntries(
    Object.entries(vmDefinition.commands).map(([name, { references: __, ...command }]) => [name, command]),
  );
}

test('a command reaches its actor with the secret sealed; no view, list or history has the text', async () => {
  const store = storeWith(secret);
  const api = await startTestApi({ store, more: { registry, secrets: seal } });
  try {
    for (const name of ['ann', 'root']) {
      const client = await new RawClient(api.url).open(`${name}-token`);
      const apply = { scope: 'acme', name: 'web', idempotencyKey: name, params: { spec: declared } };
      await client.call('vm.apply', apply);
      const said = JSON.stringify([
        api.asked,
        await client.call('actor.get', { id: vm }),
        await client.call('actor.list', { kind: 'vm', detail: true }),
        await client.call('actor.history', { id: vm }),
      ]);
      assert.not.match(said, 'hunter2');
      const shown = JSON.stringify(await client.call('actor.history', { id: vm }));
      assert.match(shown, masked(seal.seal(vm, secret)));
      assert.not.match(shown, seal.seal(vm, secret));
      await client.close();
    }
    const [first] = api.asked;
    const event = first?.event as unknown as { readonly spec: VmSpec };
    assert.is(seal.open(vm, event.spec.seed.userData ?? ''), secret);
  } finally {
    await api.stop();
  }
});

test('the mark keeps the secret that is there; a mark of none, and a secret without a key, is refused', async () => {
  const mark = masked(seal.seal(vm, secret));
  const apply = (userData: string | null, name = 'web') => {
    const spec = { ...declared, seed: { userData } };
    return {
      scope: 'acme',
      name,
      idempotencyKey: `${name} ${userData}`.slice(0, 40).replaceAll(/\W/g, '-'),
      params: { spec },
    };
  };
  const api = await startTestApi({ store: storeWith(secret), more: { registry, secrets: seal } });
  const keyless = await startTestApi({ store: storeWith(null), more: { registry } });
  try {
    const ann = await new RawClient(api.url).open('ann-token');
    await ann.call('vm.apply', apply(mark));
    await ann.call('vm.apply', apply(null));
    const given = api.asked.map(({ event }) => (event as unknown as { spec: VmSpec }).spec.seed.userData);
    assert.equal(given, [seal.seal(vm, secret), null]);
    const foreign = masked(seal.seal(vm, 'another'));
    for (const one of [apply(foreign), apply(mark, 'other')])
      assert.match((await ann.refusal('vm.apply', one)).type, /secret_unknown/);
    // A whole sealed text is nobody's to send: it is sealed once more, as a text like any other.
    await ann.call('vm.apply', apply(seal.seal('vm/acme/victim', secret)));
    assert.is(api.asked.length, 3);
    assert.match((await ann.refusal('vm.apply', apply('x'.repeat(65_537)))).type, /params_invalid/);
    const bob = await new RawClient(keyless.url).open('ann-token');
    const refused = await bob.refusal('vm.apply', apply(secret));
    assert.match(refused.type, /secrets_unavailable/);
    assert.not.match(JSON.stringify(refused), 'hunter2');
    await bob.call('vm.apply', apply(null));
    for (const client of [ann, bob]) await client.close();
  } finally {
    await api.stop();
    await keyless.stop();
  }
});

test('all nodes of a cluster get one key, which only root reads; a folder without one has no seal', () => {
  const folder = mkdtempSync(join(tmpdir(), 'photon-seal-'));
  try {
    const [authority, c1, w1] = ['authority', 'c1', 'w1'].map((name) => join(folder, name)) as [string, string, string];
    for (const path of [authority, c1, w1]) mkdirSync(path);
    assert.is(openSeal(c1), undefined);
    giveSealKey(authority, c1);
    giveSealKey(authority, w1);
    giveSealKey(authority, c1);
    assert.is(openSeal(w1)?.open(vm, openSeal(c1)?.seal(vm, secret) ?? ''), secret);
    assert.is(statSync(join(w1, 'seal.key')).mode & 0o777, 0o600);
    const kept = readFileSync(join(c1, 'seal.key'), 'utf8');
    assert.is(readFileSync(join(authority, 'seal.key'), 'utf8'), kept);
    writeFileSync(join(w1, 'seal.key'), 'short\n');
    assert.throws(() => openSeal(w1), /is no key/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();

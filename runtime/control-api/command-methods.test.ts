/** Commands and reads over real sockets: params, scopes, references, masking; store and host are test doubles. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import type { Reply } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { StoredActor } from '../contract/journal.ts';
import { startTestApi, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { RawClient } from './raw-client-for-tests.ts';
import { MemoryStore } from './store-for-tests.ts';

const key = { idempotencyKey: 'k1' };
const code = (name: string): string => `urn:photon:error:${name}`;

async function within(options: TestApiOptions, work: (api: TestApi) => Promise<void>): Promise<void> {
  const api = await startTestApi(options);
  try {
    await work(api);
  } finally {
    await api.stop();
  }
}

test('a command reaches its actor with key, digest, principal and trace; the reply is returned', async () => {
  await within({}, async ({ url, asked }) => {
    const client = await new RawClient(url).open('ann-token');
    const trace = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';
    const params = {
      scope: 'acme',
      name: 'b1',
      ...key,
      ifVersion: 4,
      params: { size: 3, labels: { b: '1', a: '2' } },
    };
    const result = await client.call('box.create', params, { traceparent: trace });
    assert.equal(result, { id: 'box/acme/b1', version: 1, result: { done: true } });
    const [command] = asked;
    assert.is(command?.to, 'box/acme/b1');
    assert.is(command?.commandId, 'ann:k1');
    assert.is(command?.principal, 'ann');
    assert.is(command?.ifVersion, 4);
    assert.is(command?.trace, trace);
    assert.equal(command?.event, { type: 'box.create', size: 3, labels: { b: '1', a: '2' } });
    await client.call('box.create', { ...params, params: { labels: { a: '2', b: '1' }, size: 3 } });
    await client.call('box.create', { ...params, params: { ...params.params, size: 4 } });
    assert.is(asked[0]?.digest, asked[1]?.digest);
    assert.is.not(asked[0]?.digest, asked[2]?.digest);
    await client.close();
  });
});

test('invalid params are refused with their paths, and no command is sent', async () => {
  await within({}, async ({ url, asked }) => {
    const client = await new RawClient(url).open('ann-token');
    const bad = await client.refusal('box.create', {
      scope: 'acme',
      name: 'b',
      ...key,
      params: { size: 0, colour: 'red' },
    });
    assert.is(bad.type, code('params_invalid'));
    assert.equal(bad.issues?.map(({ path }) => path).sort(), ['colour', 'size']);
    const noKey = await client.refusal('box.create', { scope: 'acme', name: 'b', params: { size: 1 } });
    assert.equal(
      noKey.issues?.map(({ path }) => path),
      ['idempotencyKey'],
    );
    for (const name of ['', 'a b', '-x', 'x'.repeat(300), 'a\n', '../etc', 'a@w1', 'A']) {
      const wrong = await client.refusal('box.create', { scope: 'acme', name, ...key, params: { size: 1 } });
      assert.equal(
        wrong.issues?.map(({ path }) => path),
        ['name'],
        JSON.stringify(name),
      );
    }
    const pinned = await client.refusal('pinned.poke', { scope: 'acme', name: 'a', ...key, params: {} });
    assert.equal(
      pinned.issues?.map(({ path }) => path),
      ['name'],
    );
    assert.is(asked.length, 0);
    assert.ok(await client.call('pinned.poke', { scope: 'acme', name: 'a@w1', ...key, params: {} }));
    await client.close();
  });
});

test('reads and commands answer the same for actors of other scopes and for actors that do not exist', async () => {
  const answer = async (): Promise<Reply> => ({
    ok: false,
    version: 0,
    error: new PhotonError('rejection', 'no_such_actor', 'box/acme/nope does not exist on shard s12').record,
  });
  const store = new MemoryStore();
  store.put('box/bits/b1', 'open');
  store.put('box/acme/b1', 'open');
  await within({ answer, store }, async ({ url, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    const shape = ({ type, detail }: { type: string; detail: string }, id: string): string =>
      `${type} ${detail.replace(id, 'ID')}`;
    const reads = ['box/bits/b1', 'box/bits/nope', 'box/acme/nope', 'disc/acme/b1', 'nonsense'];
    const answers = new Set<string>();
    for (const id of reads) {
      answers.add(shape(await ann.refusal('actor.get', { id }), id));
      answers.add(shape(await ann.refusal('actor.history', { id }), id));
    }
    for (const [scope, name] of [
      ['bits', 'b1'],
      ['bits', 'nope'],
      ['acme', 'nope'],
    ] as const) {
      answers.add(shape(await ann.refusal('box.poke', { scope, name, ...key, params: {} }), `box/${scope}/${name}`));
    }
    assert.is(answers.size, 1, [...answers].join('\n'));
    assert.equal(
      asked.map(({ to }) => to),
      ['box/acme/nope'],
    );
    assert.is((await ann.refusal('actor.list', { scope: 'bits' })).type, code('not_found'));
    assert.is((await ann.refusal('watch.open', { scope: 'bits' })).type, code('not_found'));
    assert.is((await ann.refusal('watch.open', { ids: ['box/bits/b1'] })).type, code('not_found'));
    const { actors } = (await ann.call('actor.list')) as { actors: { id: string }[] };
    assert.equal(
      actors.map(({ id }) => id),
      ['box/acme/b1'],
    );
    await ann.close();
  });
});

test('an actor of a chart version that the node cannot read is shown with the reason', async () => {
  await within({}, async ({ url, store }) => {
    const ann = await new RawClient(url).open('ann-token');
    store.put('box/acme/b', 'open');
    assert.is((await ann.call('actor.get', { id: 'box/acme/b' }))['refused'], undefined);
    const id = 'box/acme/b' as ActorId;
    store.actors.set(id, { ...(store.actors.get(id) as StoredActor), chartVersion: 3 });
    const { refused } = await ann.call('actor.get', { id });
    assert.match(String(refused), 'chart version 3, which this node (version 1) cannot read');
    const listed = await ann.call('actor.list', { detail: true });
    assert.match(JSON.stringify(listed), 'cannot read');
    store.actors.set(id, { ...(store.actors.get(id) as StoredActor), chartVersion: 0 });
    assert.match(
      String((await ann.call('actor.get', { id }))['refused']),
      'chart version 0, which this node (version 1) cannot read',
    );
    await ann.close();
  });
});

test('a referenced actor must exist in the same scope, for operators too', async () => {
  const store = new MemoryStore();
  store.put('lid/bits/l1', 'shut');
  store.put('lid/acme/l1', 'shut');
  store.put('lid/acme/l2', 'shut');
  store.remove('lid/acme/l2');
  await within({ store }, async ({ url, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    const create = (lid: string) => ({ scope: 'acme', name: 'b', ...key, params: { size: 1, lid } });
    for (const lid of ['l2', 'l9']) {
      const missing = await ann.refusal('box.create', create(lid));
      assert.is(missing.type, code('reference_not_found'));
      assert.equal(missing.issues, [{ path: 'spec.lid', message: `there is no lid/acme/${lid} in acme` }]);
    }
    const root = await new RawClient(url).open('root-token');
    for (const client of [ann, root]) {
      const foreign = await client.refusal('lid.steal', {
        scope: 'acme',
        name: 'l',
        ...key,
        params: { from: 'lid/bits/l1' },
      });
      assert.is(foreign.type, code('reference_not_found'));
    }
    assert.is(asked.length, 0);
    assert.ok(await ann.call('box.create', create('l1')));
    await ann.close();
    await root.close();
  });
});

test('an actor of another scope is named only with its grant, and is otherwise as if it did not exist', async () => {
  const store = new MemoryStore();
  store.put('lid/bits/small', 'shut', 4);
  store.put('lid/bits/large', 'shut', 6);
  await within({ store }, async ({ url, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    const root = await new RawClient(url).open('root-token');
    const borrow = (from: string, scope = 'acme') => ({ scope, name: 'l', ...key, params: { from } });
    for (const client of [ann, root])
      for (const from of ['lid/bits/large', 'lid/bits/none']) {
        const refused = await client.refusal('lid.borrow', borrow(from));
        assert.is(refused.type, code('reference_not_found'));
        assert.equal(refused.issues, [{ path: 'spec.from', message: `there is no ${from} that acme may use` }]);
      }
    const other = await root.refusal('lid.borrow', borrow('lid/bits/small', 'core'));
    assert.equal(other.issues, [{ path: 'spec.from', message: 'there is no lid/bits/small that core may use' }]);
    assert.is(asked.length, 0);
    assert.ok(await ann.call('lid.borrow', borrow('lid/bits/small')));
    await ann.close();
    await root.close();
  });
});

test('a referenced actor that does not fit is refused with the reason, unless another one does not exist', async () => {
  const store = new MemoryStore();
  store.put('lid/acme/wide', 'shut', 10);
  store.put('lid/acme/fits', 'shut', 9);
  await within({ store }, async ({ url, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    const create = (lid: string) => ({ scope: 'acme', name: 'b', ...key, params: { size: 1, lid } });
    const unfit = await ann.refusal('box.create', create('wide'));
    assert.is(unfit.type, code('reference_unfit'));
    assert.equal(unfit.issues, [{ path: 'spec.lid', message: 'lid/acme/wide is larger than every box' }]);
    assert.is(asked.length, 0);
    assert.ok(await ann.call('box.create', create('fits')));
    await ann.close();
  });
});

test('admin commands are forbidden for others; rejections of charts are passed through', async () => {
  const answer = async (): Promise<Reply> => ({
    ok: false,
    version: 3,
    error: {
      ...new PhotonError('rejection', 'name_busy', 'The name is taken.').record,
      issues: [{ path: 'spec.a', message: 'b' }],
    },
  });
  await within({ answer }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    assert.is(
      (await ann.refusal('box.seal', { scope: 'acme', name: 'b', ...key, params: {} })).type,
      code('forbidden'),
    );
    const root = await new RawClient(url).open('root-token');
    const hard = { scope: 'acme', name: 'b', ...key, params: { why: 'hard' } };
    const refused = await ann.refusal('box.poke', hard);
    assert.is(refused.type, code('forbidden'), 'a value that takes an operator');
    assert.match(JSON.stringify(refused), /"path":"why","message":"only operators may poke hard"/);
    const busy = await root.refusal('box.seal', { scope: 'acme', name: 'b', ...key, params: {} });
    assert.is(busy.type, code('name_busy'));
    assert.is(busy.retryable, false);
    assert.equal(busy.issues, [{ path: 'spec.a', message: 'b' }]);
    await ann.close();
    await root.close();
  });
});

test('no reply in time is unknown and retryable; an internal failure is masked and has a trace id', async () => {
  let fail = false;
  const answer = (): Promise<Reply> =>
    fail ? Promise.reject(new PhotonError('fault', 'store_lost', 'password=hunter2')) : new Promise<Reply>(() => {});
  await within({ answer, limits: { commandWaitMs: 60 } }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const params = { scope: 'acme', name: 'b', ...key, params: {} };
    const late = await ann.refusal('box.poke', params);
    assert.is(late.type, code('unknown'));
    assert.is(late.retryable, true);
    fail = true;
    const broken = await ann.refusal('box.poke', params);
    assert.is(broken.type, code('internal'));
    assert.not.match(JSON.stringify(broken), 'hunter2');
    assert.match(broken.traceId, /^[0-9a-f]{32}$/);
    await ann.close();
  });
});

test('a removed actor that has since refused a command can still be read', async () => {
  const store = new MemoryStore();
  store.put('box/acme/a', 'shut', 8, 'removed');
  const held = store.actors.get('box/acme/a' as ActorId);
  store.actors.set('box/acme/a' as ActorId, { ...(held as StoredActor), state: null, context: null });
  await within({ store }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const { lifecycle, stateName, spec } = await ann.call('actor.get', { id: 'box/acme/a' });
    assert.equal({ lifecycle, stateName, spec }, { lifecycle: 'removed', stateName: 'absent', spec: null });
    await ann.close();
  });
});

test('get, list and history return committed state without the context', async () => {
  const store = new MemoryStore();
  for (const name of ['a', 'b', 'c', 'd', 'e']) store.put(`box/acme/${name}`, 'open', 7);
  store.put('box/acme/a', 'shut', 8);
  await within({ store }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const actor = await ann.call('actor.get', { id: 'box/acme/a' });
    assert.is(actor['stateName'], 'shut');
    assert.is(actor['lifecycle'], 'live');
    assert.equal(actor['spec'], { size: 8 });
    assert.equal(actor['waitingOn'], ['event']);
    assert.not.match(JSON.stringify(actor), 'in the context only');
    const pages: string[][] = [];
    let after: unknown;
    do {
      const page = (await ann.call('actor.list', {
        limit: 2,
        detail: true,
        ...(after === undefined ? {} : { after }),
      })) as {
        actors: { id: string; spec: unknown }[];
        next: string | null;
      };
      assert.ok(page.actors.every(({ spec }) => spec !== undefined));
      pages.push(page.actors.map(({ id }) => id.slice(-1)));
      after = page.next ?? undefined;
    } while (after !== undefined);
    assert.equal(pages, [['a', 'b'], ['c', 'd'], ['e']]);
    const { entries } = (await ann.call('actor.history', { id: 'box/acme/a', after: 1 })) as {
      entries: { to: string }[];
    };
    assert.equal(
      entries.map(({ to }) => to),
      ['shut'],
    );
    const { kinds } = (await ann.call('kinds.list')) as { kinds: { kind: string; commands: { method: string }[] }[] };
    assert.equal(
      kinds[0]?.commands.map(({ method }) => method),
      ['box.create', 'box.poke', 'box.seal'],
    );
    const bundle = (await ann.call('rpc.discover')) as { methods: Record<string, unknown> };
    assert.ok(bundle.methods['box.create'] !== undefined && bundle.methods['watch.open'] !== undefined);
    await ann.close();
  });
});

test.run();

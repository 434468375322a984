/** What a VPC publishes: whole sections to a host that is new, increments to the others, and what is missed again. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Increment, SectionUpdate, Whole } from '../segment/segment-protocol.ts';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { sectionNames } from './vpc-sections.ts';
import { claim, held, host, known, need, network, proven, release, two, view, waits } from './vpc-rows-for-tests.ts';

interface Told {
  readonly to: string;
  readonly updates: Readonly<Record<string, SectionUpdate>>;
}
type Step = Omit<Row, 'in' | 'to'>;

function step(context: object, row: Step) {
  const { asked, context: after } = decided(vpcMachine, context, { in: 'ready', to: '', ...row });
  const told = asked.flatMap(({ params }): Told[] => {
    const said = params as { to?: string; event?: { type: string; updates?: readonly SectionUpdate[] } } | undefined;
    if (said?.event?.type !== 'segment.publish' || said.to === undefined) return [];
    const updates = (said.event.updates ?? []).map((update) => [update.section, update] as const);
    return [{ to: said.to, updates: Object.fromEntries(updates) }];
  });
  return { told, context: after as unknown as VpcContext };
}

const elsewhere = {
  'peer-member/*': {},
  'location/*': { '10.0.0.5': { port: 'p', host: 1, groups: [] }, '10.0.0.6': { port: 'q', host: 2, groups: ['g'] } },
};
const none = { 'location/*': {}, 'peer-member/*': {} };

test('a host that is new gets every section whole, with all routes; the others get a peer', () => {
  const { told, context } = step({ ...held, segments: { w2: view(2) } }, { on: need(1), rows: elsewhere });
  assert.equal(
    told.map(({ to }) => to),
    ['segment/t/main@w2', 'segment/t/main@w1'],
  );
  assert.equal(told[0]?.updates, {
    overlay: { section: 'overlay', from: 2, to: 3, put: { 'peer/w1': host(1) }, removed: [] },
  });
  const whole = told[1]?.updates ?? {};
  assert.equal(Object.keys(whole), sectionNames);
  const elements = (section: string) => (whole[section] as Whole).elements;
  assert.equal(elements('overlay'), { vni: 4096, mtu: 1550, self: host(1), 'peer/w2': host(2) });
  assert.equal(elements('networks'), { 'network/t/a': network('a') });
  assert.equal(elements('routes'), { '10.0.0.6': { address: '10.0.0.6', host: 2 } });
  assert.equal(context.segments['w1']?.networks, { 'network/t/a': 1 });
});

test('a narrower host lowers what everybody may send', () => {
  const narrow = { ...need(1), host: { ...host(1), underlayMtu: 1520 } };
  const { told } = step({ ...held, segments: { w2: view(2) } }, { on: narrow, rows: none });
  assert.equal((told[0]?.updates['overlay'] as Increment).put, { mtu: 1470, 'peer/w1': narrow.host });
});

test('a network more, a network less, or a network that changed is one element', () => {
  const start = { ...held, ...two, networks: { ...held.networks, 'network/t/b': known(network('b')) } };
  const more = step(start, { on: need(1, 'b'), rows: none });
  const put = { 'network/t/b': network('b') };
  assert.equal(more.told, [
    {
      to: 'segment/t/main@w1',
      updates: { networks: { section: 'networks', from: 2, to: 3, put, removed: [] } },
    },
  ]);
  const changed = network('b', { mtu: 1400 });
  const newer = step(more.context, { on: claim(changed, 2) });
  assert.equal(newer.told[0]?.updates['networks'], {
    section: 'networks',
    from: 3,
    to: 4,
    put: { 'network/t/b': changed },
    removed: [],
  });
  const less = step(newer.context, { on: release('b'), rows: none });
  assert.equal(less.told[0]?.updates['networks'], {
    section: 'networks',
    from: 4,
    to: 5,
    put: {},
    removed: ['network/t/b'],
  });
  assert.equal(less.context.withdrawing, { 'network/t/b': { w1: 5 } });
});

test('a host is told which of its networks have metadata, and when that changes', () => {
  const start = { ...held, ...two, networks: { ...held.networks, 'network/t/b': known(network('b')) } };
  const on = step(start, { on: claim(network('a', { metadata: true }), 2) });
  const put = { 'network/t/a': {} };
  assert.equal(
    on.told.map(({ updates }) => updates['metadata']),
    [
      { section: 'metadata', from: 2, to: 3, put, removed: [] },
      { section: 'metadata', from: 2, to: 3, put, removed: [] },
    ],
  );
  const off = step(on.context, { on: claim(network('a', { metadata: false }), 3) });
  assert.equal(off.told[0]?.updates['metadata'], {
    section: 'metadata',
    from: 3,
    to: 4,
    put: {},
    removed: ['network/t/a'],
  });
});

test('when an address moves to a host its route there is removed, and the other hosts get the new one', () => {
  const on = { type: 'port.located', port: 'p', address: '10.0.0.9', host: 1 };
  const { told } = step({ ...held, ...two }, { on, rows: { 'location/10.0.0.9': { port: 'p', host: 2, groups: [] } } });
  const changes = told.map(({ to, updates }) => {
    const { put, removed } = updates['routes'] as Increment;
    return [to, put, removed];
  });
  assert.equal(changes, [
    ['segment/t/main@w1', {}, ['10.0.0.9']],
    ['segment/t/main@w2', { '10.0.0.9': { address: '10.0.0.9', host: 1 } }, []],
  ]);
});

test('a host that missed an increment gets that section whole, beyond whatever it has', () => {
  const missed = (section: string, generation: number) => ({ type: 'segment.missed', host: 'w1', section, generation });
  const routes = step({ ...held, ...two }, { on: missed('routes', 1), rows: elsewhere });
  assert.equal(Object.keys(routes.told[0]?.updates ?? {}), ['routes']);
  assert.equal(routes.told[0]?.updates['routes'], {
    section: 'routes',
    generation: 3,
    elements: { '10.0.0.6': { address: '10.0.0.6', host: 2 } },
  });
  assert.equal(routes.context.segments['w1']?.sections['routes'], { published: 3, whole: 3, proven: 2, failure: null });
  const ahead = step({ ...held, ...two }, { on: missed('networks', 9) });
  assert.is((ahead.told[0]?.updates['networks'] as Whole).generation, 10);
  assert.equal(ahead.context.segments['w1']?.networks, { 'network/t/a': 10 });
  // A segment that misses a whole section is a new one, which misses the others too.
  const born = step({ ...held, ...two }, { on: missed('routes', 0), rows: elsewhere });
  assert.equal(Object.keys(born.told[0]?.updates ?? {}), sectionNames);
  assert.equal(
    step({ ...held, segments: { w1: { ...view(1), removing: true } } }, { on: missed('routes', 1) }).told,
    [],
  );
});

test('a host that proves what was never published proves nothing: it gets the section whole', () => {
  const start = {
    ...held,
    ...two,
    waiting: waits(),
    networks: { 'network/t/a': { ...known(network('a')), realized: 0 } },
  };
  const waiting = { ...start, segments: { w1: view(1, { networks: { proven: 1 } }), w2: view(2) } };
  const { told, context } = step(waiting, { on: proven(1, { networks: 8 }) });
  assert.equal(told[0]?.updates['networks'], {
    section: 'networks',
    generation: 9,
    elements: { 'network/t/a': network('a') },
  });
  assert.is(context.segments['w1']?.sections['networks']?.proven, 1);
  assert.is(context.waiting.length, 1);
  const done = decided(vpcMachine, context, { in: 'ready', on: proven(1, { networks: 9 }), to: '' });
  assert.equal(done.asks, ['segment.provided > port', 'network.realized > network']);
});

test('a repetition publishes what is not proven, with the same generation', () => {
  const start = { ...held, waiting: waits(), segments: { w1: view(1, { routes: { proven: 0 } }) } };
  const { told, context } = step(start, { on: need(1), rows: elsewhere });
  assert.equal(Object.keys(told[0]?.updates ?? {}), ['routes']);
  assert.is((told[0]?.updates['routes'] as Whole).generation, 2);
  assert.equal(context.segments, start.segments);
});

test('a lagging host is seen by section', () => {
  const failure = { code: 'dnsmasq_failed', message: 'd', retryable: true };
  const on = { type: 'segment.failed', host: 'w2', section: 'networks', heard: {}, error: failure };
  const { sections } = step({ ...held, ...two }, { on }).context.segments['w2'] ?? view(9);
  assert.equal([sections['networks']?.failure, sections['overlay']?.failure], [failure, null]);
  const mended = step({ ...held, segments: { w2: { ...view(2), sections } } }, { on: proven(2, { networks: 2 }) });
  assert.is(mended.context.segments['w2']?.sections['networks']?.failure, null);
});

test.run();

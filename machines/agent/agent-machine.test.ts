/** Decisions of an agent: every result of its effects, a new boot at any time, deadlines. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { agentMachine, type AgentContext } from './agent-machine.ts';

const held: AgentContext = {
  id: 'agent/system/w1@w1',
  uid: 'U1',
  host: 'w1',
  boot: 'b1',
  report: null,
  index: 0,
  sweep: null,
  era: 1,
  kept: [],
  released: false,
  conditions: [],
  tries: 0,
  failure: null,
};
const boot = { type: 'agent.boot', boot: 'b2', host: 'w1' };
const found = { type: 'inventory.read.done', runs: [], ports: [], vnis: [], kept: ['ns/tap'] };
const heard = { type: 'inventory.received', era: 2 };
const error = { code: 'x', message: 'x', retryable: false };
const none = {
  removed: [],
  removedCount: 0,
  failed: [],
  failedCount: 0,
  diskMib: 1_000,
  diskFreeMib: 50,
  freed: [] as string[],
};
const sweptWith = (used: number) => ({
  type: 'host.sweep.done',
  ...none,
  descriptors: { used, limit: 1_000, reserved: 64 },
});
const swept = sweptWith(100);
const report = {
  underlay: '192.0.2.1',
  underlayMtu: 1_600,
  cpus: 2,
  memoryMib: 4_096,
  diskMib: 1_000,
  diskFreeMib: 600,
  qemuVersion: null,
  kvm: false,
  allowedRoots: [],
  peerUrl: 'x',
};

const stray = {
  port: 'port/t/p',
  runEpoch: 2,
  vpc: 'vpc/t/main',
  network: 'network/t/n',
  address: '10.0.0.5',
  pairs: [],
};

const rows: readonly Row[] = [
  { in: 'born', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  {
    in: 'observing.looking',
    on: { type: 'host.observe.done', facts: {} },
    to: 'announcing',
    asks: ['host.announce > host'],
  },
  { in: 'observing.looking', on: { type: 'host.observe.failed', error }, to: 'observing.waiting', asks: [] },
  { in: 'observing.looking', on: { type: 'host.observe.unknown', error }, to: 'observing.waiting', asks: [] },
  { in: 'observing.looking', on: 'observeDeadline', to: 'observing.looking', asks: ['host.observe'] },
  { in: 'observing.looking', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  { in: 'observing.waiting', on: 'backoff', to: 'observing.looking', asks: ['host.observe'] },
  {
    in: 'announcing',
    on: { type: 'host.admitted', index: 1, boot: 'b1' },
    to: 'serving.sweeping',
    asks: ['bindings.watch', 'host.sweep'],
  },
  { in: 'announcing', on: { type: 'host.admitted', index: 1, boot: 'b0' }, to: 'announcing', asks: [] },
  { in: 'announcing', on: 'announceDeadline', to: 'announcing', asks: ['host.announce > host'] },
  { in: 'announcing', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  { in: 'serving.sweeping', on: swept, to: 'serving.resting', asks: [] },
  { in: 'serving.sweeping', on: { type: 'host.sweep.failed', error }, to: 'serving.resting', asks: [] },
  { in: 'serving.sweeping', on: { type: 'host.sweep.unknown', error }, to: 'serving.resting', asks: [] },
  { in: 'serving.sweeping', on: 'sweepDeadline', to: 'serving.resting', asks: [] },
  { in: 'serving.resting', on: 'sweepInterval', to: 'serving.sweeping', asks: ['host.sweep'] },
  { in: 'serving.resting', on: { type: 'host.admitted', index: 2, boot: 'b1' }, to: 'serving.resting', asks: [] },
  { in: 'serving.resting', on: swept, to: 'serving.resting', asks: [] },
  { in: 'serving.resting', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  // What is left of a lost port goes at once, with what the sweep finds of it.
  ...['serving.resting', 'serving.sweeping'].flatMap((state): Row[] => [
    {
      in: state,
      on: { type: 'bindings.watch.done', found: [stray, { ...stray, port: 'port/t/q' }] },
      to: 'serving.sweeping',
      asks: ['binding.confirm > port', 'binding.confirm > port', 'bindings.watch', 'host.sweep'],
    },
    {
      in: state,
      on: { type: 'bindings.watch.failed', error },
      to: 'serving.sweeping',
      asks: ['bindings.watch', 'host.sweep'],
    },
    {
      in: state,
      on: { type: 'bindings.watch.unknown', error },
      to: 'serving.sweeping',
      asks: ['bindings.watch', 'host.sweep'],
    },
  ]),
  // In a new era the inventory is read and sent first; no later sweep removes objects that had no owner then.
  { in: 'serving.resting', on: boot, era: 2, to: 'reading.looking', asks: ['inventory.read'] },
  { in: 'born', on: boot, era: 2, to: 'reading.looking', asks: ['inventory.read'] },
  { in: 'reading.looking', on: found, era: 2, to: 'reading.reporting', asks: ['inventory.report > cluster'] },
  { in: 'reading.reporting', on: heard, era: 2, to: 'observing.looking', asks: ['host.observe'] },
  { in: 'reading.reporting', on: heard, era: 3, to: 'reading.reporting', asks: [] },
  { in: 'reading.reporting', on: 'reportDeadline', era: 2, to: 'reading.looking', asks: ['inventory.read'] },
  { in: 'reading.reporting', on: boot, era: 2, to: 'reading.looking', asks: ['inventory.read'] },
  { in: 'reading.looking', on: { type: 'inventory.read.failed', error }, to: 'reading.waiting', asks: [] },
  { in: 'reading.looking', on: { type: 'inventory.read.unknown', error }, to: 'reading.waiting', asks: [] },
  { in: 'reading.looking', on: 'readDeadline', to: 'reading.looking', asks: ['inventory.read'] },
  { in: 'reading.looking', on: boot, era: 2, to: 'reading.looking', asks: ['inventory.read'] },
  { in: 'reading.waiting', on: 'backoff', to: 'reading.looking', asks: ['inventory.read'] },
];

test('a worker that is short of file descriptors has a condition that says so, until it has enough again', () => {
  const after = (context: AgentContext, used: number) =>
    decided(agentMachine, context, { in: 'serving.sweeping', on: sweptWith(used), to: '' })
      .context as unknown as AgentContext;
  const conditionOf = ({ conditions: [condition] }: AgentContext) => [condition?.type, condition?.status];
  const low = after(held, 937);
  assert.equal(conditionOf(low), ['DescriptorsFree', 'False']);
  assert.match(low.conditions[0]?.message ?? '', /937 of 1000 file descriptors .*new work is refused/);
  assert.equal(conditionOf(after(low, 936)), ['DescriptorsFree', 'True']);
});

test('found objects are exempt from sweeps, and the inventory is repeated until it is acknowledged', () => {
  const told = decided(agentMachine, held, { in: 'reading.looking', on: found, era: 2, to: '' });
  assert.equal([told.context['era'], told.context['kept']], [1, ['ns/tap']]);
  const known = decided(agentMachine, held, { in: 'reading.reporting', on: heard, era: 2, to: '' });
  assert.is(known.context['era'], 2);
  const kept = { ...held, kept: ['ns/tap'] };
  const again = decided(agentMachine, kept, { in: 'serving.resting', on: 'sweepInterval', to: '' });
  assert.equal(again.asked[0]?.params, { kept: ['ns/tap'], released: false });
});

test('once the barrier is released, a sweep begins at once, and what it frees is kept no more', () => {
  const second = { ...held, era: 2, kept: ['ns/tap', 'ns/used'] };
  const release = { ...heard, released: true };
  const after = (on: object, context = second) =>
    decided(agentMachine, context, { in: 'serving.resting', on: on as Row['on'], era: 2, to: '' });
  const params = { kept: second.kept, released: true };
  assert.equal(after(release).asked.find(({ type }) => type === 'host.sweep')?.params, params);
  assert.equal(after(heard).asked, [], 'only received');
  assert.equal(after({ ...release, era: 1 }).asked, [], 'of an earlier era');
  const early = decided(agentMachine, second, { in: 'announcing', on: release, era: 2, to: '' });
  assert.is(early.context['released'], true);
  const first = decided(agentMachine, held, { in: 'reading.reporting', on: release, era: 2, to: '' });
  assert.equal([first.context['released'], first.context['era']], [true, 2]);
  const again = decided(
    agentMachine,
    { ...second, released: true },
    { in: 'reading.looking', on: found, era: 3, to: '' },
  );
  assert.is(again.context['released'], false, 'a new era has a barrier of its own');
  const on = { ...sweptWith(100), freed: ['ns/tap'] };
  const freed = decided(agentMachine, second, { in: 'serving.sweeping', on, era: 2, to: '' });
  assert.equal(freed.context['kept'], ['ns/used']);
});

test('decisions', () => {
  assert.equal(disagreements(agentMachine, held, rows), []);
});

test('a disk that becomes low, or has space again, is announced; other changes of its free space are not', () => {
  const full = { ...report, diskFreeMib: 49 };
  const disks: readonly Row[] = [
    { in: 'serving.sweeping', with: { report }, on: swept, to: 'serving.resting', asks: [] },
    { in: 'serving.sweeping', with: { report }, on: { ...swept, diskFreeMib: 49 }, to: 'observing.looking' },
    { in: 'serving.sweeping', with: { report: full }, on: { ...swept, diskFreeMib: 0 }, to: 'serving.resting' },
    { in: 'serving.sweeping', with: { report: full }, on: swept, to: 'observing.looking', asks: ['host.observe'] },
  ];
  assert.equal(disagreements(agentMachine, held, disks), []);
});

test('the port is told the host and what was found', () => {
  const on = { type: 'bindings.watch.done', found: [stray] };
  const { asked } = decided(agentMachine, { ...held, index: 3 }, { in: 'serving.resting', on, to: '' });
  const event = { type: 'binding.confirm', host: 'w1', hostIndex: 3, found: stray };
  assert.equal(asked[0]?.params, { to: 'port/t/p', event });
});

test('when fenced, it does nothing until its worker boots again', () => {
  const gone: readonly Row[] = [
    ...['reading.reporting', 'observing.waiting', 'announcing', 'serving.resting'].map((state) => ({
      in: state,
      on: { type: 'host.gone' },
      to: 'fenced',
      asks: [],
    })),
    { in: 'fenced', on: { type: 'host.admitted', index: 1, boot: 'b1' }, to: 'fenced', asks: [] },
    { in: 'fenced', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  ];
  assert.equal(disagreements(agentMachine, held, gone), []);
});

test.run();

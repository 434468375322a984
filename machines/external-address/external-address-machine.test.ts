/** Decisions of an external address: kept, attached, moved, detached, given back. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { externalAddressMachine } from './external-address-machine.ts';
import type { ExternalAddressContext } from './external-address-messages.ts';
import { externalAddressSpec, type ExternalAddressSpec } from './external-address-protocol.ts';

const id = 'external-address/t/web';
const network = 'external-network/system/public';
const address = '203.0.113.20';
const [main, other] = ['vpc/t/main', 'vpc/t/other'];
const [web, db] = ['port/t/web-1.eth0', 'port/t/db'];
const specOf = (target: object | null): ExternalAddressSpec =>
  externalAddressSpec.parse({ network: 'public', target }) as ExternalAddressSpec;
const toWeb = { port: 'web-1.eth0' };
const declare = (verb: 'create' | 'update' | 'apply', target: object | null) => ({
  type: `external-address.${verb}`,
  spec: specOf(target),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});
const at = (vpc: string, inside: string) => ({ vpc, inside });
const held: ExternalAddressContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: specOf(toWeb),
  generation: 1,
  observedGeneration: 1,
  address,
  followed: web,
  found: at(main, '10.0.0.5'),
  attached: at(main, '10.0.0.5'),
  revision: 1,
  isRealized: true,
};
const fresh = {
  ...held,
  observedGeneration: 0,
  address: null,
  followed: null,
  found: null,
  attached: null,
  revision: 0,
};
const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };
const idle = { spec: specOf(null), followed: null, found: null, attached: null };
const granted = { type: 'external.granted', network, address, way: null };
const found = (port: string, vpc: string, inside: string) => ({
  type: 'port.address',
  port,
  vpc,
  network: 'network/t/front',
  address: inside,
});
const lost = { type: 'port.lost', port: web };
const removed = { type: 'element.removed', section: 'external-addresses', key: address };
const error = { code: 'address_taken', message: 'x', retryable: false };
const refused = { type: 'external.refused', network, error, field: 'address' };
const remove = { type: 'external-address.delete' };
const put = 'element.put > vpc';
const release = 'external.release > external-network';

const rows: readonly Row[] = [
  {
    in: 'born',
    with: fresh,
    on: declare('create', null),
    command: 'c',
    to: 'claiming',
    asks: ['defer', 'quota.claim > tenant'],
  },
  { in: 'born', on: { type: 'external.confirm' }, from: network, to: 'gone', asks: [release] },
  {
    in: 'claiming',
    with: fresh,
    on: { type: 'quota.granted' },
    to: 'allocating.asking',
    asks: ['external.claim > external-network'],
  },
  {
    in: 'allocating.asking',
    with: { ...fresh, ...waiting },
    on: granted,
    to: 'locating',
    asks: ['reply', 'port.follow > port'],
  },
  {
    in: 'allocating.asking',
    with: { ...fresh, ...waiting, spec: specOf(null) },
    on: granted,
    to: 'detached',
    asks: ['reply'],
  },
  {
    in: 'allocating.asking',
    with: { ...fresh, ...waiting },
    on: refused,
    to: 'gone',
    asks: ['reject address_taken', 'quota.release > tenant'],
  },
  {
    in: 'allocating.asking',
    with: fresh,
    on: { ...refused, error: { ...error, retryable: true } },
    to: 'allocating.waiting',
    asks: [],
  },
  {
    in: 'allocating.asking',
    with: { ...fresh, ...waiting, tries: 6 },
    on: 'claimDeadline',
    to: 'gone',
    asks: ['reject external_network_silent', release, 'quota.release > tenant'],
  },
  {
    in: 'allocating.waiting',
    with: fresh,
    on: remove,
    command: 'd',
    to: 'gone',
    asks: ['defer', release, 'quota.release > tenant', 'reply'],
  },

  {
    in: 'locating',
    with: { found: null, attached: null },
    on: found(web, main, '10.0.0.5'),
    to: 'attached',
    asks: [put],
  },
  { in: 'locating', with: { found: null, attached: null }, on: lost, to: 'waiting', asks: [] },
  { in: 'locating', with: { found: null, attached: null }, on: found(db, main, '10.0.0.6'), to: 'locating', asks: [] },
  { in: 'waiting', with: { found: null, attached: null }, on: 'backoff', to: 'locating', asks: ['port.follow > port'] },

  // Moved within its VPC: one element is replaced, nothing is taken away before.
  {
    in: 'attached',
    on: declare('update', { port: 'db' }),
    command: 'd',
    to: 'locating',
    asks: ['reply', 'port.unfollow > port', 'port.follow > port'],
  },
  {
    in: 'locating',
    with: { spec: specOf({ port: 'db' }), followed: db, found: null },
    on: found(db, main, '10.0.0.6'),
    to: 'attached',
    asks: [put],
  },
  // Moved to another VPC: the first one gives it up before.
  {
    in: 'locating',
    with: { spec: specOf({ port: 'db' }), followed: db, found: null },
    on: found(db, other, '10.0.0.6'),
    to: 'detaching',
    asks: ['element.remove > vpc'],
  },
  {
    in: 'detaching',
    with: { spec: specOf({ port: 'db' }), followed: db, found: at(other, '10.0.0.6') },
    on: removed,
    from: main,
    to: 'attached',
    asks: ['port.follow > port', put],
  },
  { in: 'detaching', on: removed, from: other, to: 'detaching', asks: [] },
  { in: 'detaching', on: 'detachDeadline', to: 'detaching', asks: ['element.remove > vpc'] },

  {
    in: 'attached',
    on: declare('update', null),
    command: 'd',
    to: 'detaching',
    asks: ['reply', 'port.unfollow > port', 'element.remove > vpc'],
  },
  {
    in: 'detaching',
    with: { spec: specOf(null), followed: null, found: null },
    on: removed,
    from: main,
    to: 'detached',
    asks: [],
  },
  {
    in: 'detached',
    with: idle,
    on: declare('update', toWeb),
    command: 'd',
    to: 'locating',
    asks: ['reply', 'port.follow > port'],
  },

  // The target has ended: the address stays.
  { in: 'attached', on: lost, to: 'detaching', asks: ['element.remove > vpc'] },
  { in: 'detaching', with: { found: null }, on: removed, from: main, to: 'locating', asks: ['port.follow > port'] },

  {
    in: 'attached',
    on: { ...declare('update', toWeb), spec: { ...specOf(toWeb), network: 'x' } },
    command: 'd',
    to: 'attached',
    asks: ['reject immutable_field'],
  },
  { in: 'attached', on: { type: 'external.confirm' }, from: network, to: 'attached', asks: [] },
  {
    in: 'attached',
    on: remove,
    command: 'd',
    to: 'withdrawing',
    asks: ['defer', 'port.unfollow > port', 'element.remove > vpc'],
  },
  {
    in: 'withdrawing',
    with: { waiters: [{ commandId: 'd', result: 'deleted' }] },
    on: removed,
    from: main,
    to: 'gone',
    asks: [release, 'quota.release > tenant', 'reply'],
  },
  {
    in: 'detached',
    with: idle,
    on: remove,
    command: 'd',
    to: 'gone',
    asks: ['defer', release, 'quota.release > tenant', 'reply'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(externalAddressMachine, held, rows), []);
});

const step = (context: object, state: string, on: Row['on'], from = main) => {
  const move = decided(externalAddressMachine, context, { in: state, on, from, command: 'd', to: '' });
  return { ...move, context: move.context as unknown as ExternalAddressContext };
};

test('what is published names the address inside, and requires the way out through the same network', () => {
  const { asked, context } = step({ ...held, found: null, attached: null }, 'locating', found(web, main, '10.0.0.5'));
  const [sent] = asked as readonly { params: { to: string; event: Record<string, unknown> } }[];
  assert.is(sent?.params.to, main);
  const { key, element, requires, generation } = sent?.params.event ?? {};
  assert.equal([key, element, generation], [address, { inside: '10.0.0.5' }, context.revision]);
  assert.equal(requires, { section: 'gateway', key: 'default', fields: { network } });
});

test('without a router the address says so, and is observed once there is one', () => {
  const put2 = step(held, 'attached', found(web, main, '10.0.0.6')).context;
  const missing = { code: 'element_missing', message: 'x', retryable: true };
  const about = { section: 'external-addresses', key: address, generation: put2.revision };
  const delayed = step(put2, 'attached', { type: 'element.delayed', ...about, host: '', error: missing }).context;
  const conditionOf = ({ conditions }: ExternalAddressContext) => conditions.find(({ type }) => type === 'Realized');
  assert.equal([conditionOf(delayed)?.status, conditionOf(delayed)?.reason], ['False', 'NoRouter']);
  assert.match(delayed.failure?.message ?? '', /vpc\/t\/main has no router with external network public; declare one/);
  const late = step(delayed, 'attached', { type: 'element.realized', ...about, generation: 1 }).context;
  assert.is(conditionOf(late)?.status, 'False', 'of an earlier publication');
  const realized = step(delayed, 'attached', { type: 'element.realized', ...about }).context;
  assert.equal([conditionOf(realized)?.status, realized.failure], ['True', null]);
});

test.run();

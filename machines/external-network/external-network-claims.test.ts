/** Claims of an external network: who may use it, which address a claimant gets, and what is given back. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import { externalNetworkMachine } from './external-network-machine.ts';
import type { ExternalNetworkContext } from './external-network-messages.ts';
import * as n from './external-network-rows-for-tests.ts';
import { problemsOf } from './external-network-spec.ts';

/** The rows of one external network, and what it answers. */
class Stage {
  context: ExternalNetworkContext = n.held;
  readonly rows = new Map<string, unknown>();

  /** Every row of the collections that any event needs. */
  private loaded(): Record<string, unknown> {
    const loaded: Record<string, unknown> = {};
    const known = ['router', 'port', 'owner', 'block'];
    for (const collection of known) loaded[`${collection}/*`] = {};
    for (const [name, value] of this.rows) {
      loaded[name] = value;
      const [collection = '', key = ''] = name.split('/');
      (loaded[`${collection}/*`] as Record<string, unknown>)[name.slice(collection.length + 1)] = value;
      assert.ok(key !== undefined);
    }
    return new Proxy(loaded, { get: (all, name) => all[String(name)] ?? null });
  }

  /** Lets it handle an event, and then what it sends to itself. @returns what it sends to others */
  tell(on: Row['on'], from: string): readonly Record<string, unknown>[] {
    const move = decided(externalNetworkMachine, this.context, { in: 'ready', on, from, rows: this.loaded(), to: '' });
    this.context = move.context as unknown as ExternalNetworkContext;
    const sent: Record<string, unknown>[] = [];
    for (const { type, params } of move.asked) {
      const { collection, key, value, to, event } = params as Record<string, unknown>;
      const name = `${String(collection)}/${String(key)}`;
      if (type === 'row.put') this.rows.set(name, value);
      if (type === 'row.remove') this.rows.delete(name);
      if (type === 'send' && to === n.id) sent.push(...this.tell(event as Row['on'], n.id));
      else if (type === 'send') sent.push({ to, ...(event as object) });
    }
    return sent;
  }

  claim(by: string, address: string | null = null, wantsAddress = true): Record<string, unknown> | undefined {
    const use = by.startsWith('router/') ? 'router' : 'address';
    return this.tell({ type: 'external.claim', by, use, wantsAddress, address }, by).at(0);
  }

  release(by: string, address: string | null): void {
    this.tell({ type: 'external.release', by, address, ends: true }, by);
  }

  /** What a command is answered. */
  ask(verb: 'addresses' | 'verify', params: object = {}): Record<string, unknown> {
    const on = { type: `external-network.${verb}`, ...params };
    const row = { in: 'ready', on, command: 'c', rows: this.loaded(), to: 'ready' };
    const replies = decided(externalNetworkMachine, this.context, row).asked.filter(({ type }) => type === 'reply');
    assert.is(replies.length, 1);
    return (replies[0]?.params as { result: Record<string, unknown> }).result;
  }

  /** Address -> holder. */
  get owners(): Record<string, string> {
    const all = [...this.rows].filter(([name]) => name.startsWith('owner/'));
    return Object.fromEntries(all.map(([name, value]) => [name.slice(6), (value as { port: string }).port]));
  }
}

const router = 'router/acme/main';
const web = 'external-address/acme/web';
const db = 'external-address/acme/db';

test('a claim gets an address of the pools, and the same one when it is repeated', () => {
  const stage = new Stage();
  const first = stage.claim(router);
  assert.equal([first?.['type'], first?.['address']], ['external.granted', '203.0.113.10']);
  assert.equal((first?.['way'] as { active: number }).active, 1);
  assert.is(stage.claim(router)?.['address'], '203.0.113.10');
  const second = stage.claim(web);
  assert.equal([second?.['address'], second?.['way']], ['203.0.113.11', null]);
  assert.is(stage.context.holders, 2);
  assert.equal(stage.owners, { '203.0.113.10': router, '203.0.113.11': web });
});

test("an address is given once, rests after its release, and the gateway is nobody's", () => {
  const stage = new Stage();
  stage.claim(web, '203.0.113.77');
  const refused = (by: string, address: string) => (stage.claim(by, address)?.['error'] as { code: string })?.code;
  assert.is(refused(db, '203.0.113.77'), 'address_taken');
  assert.is(refused(db, '203.0.113.1'), 'address_reserved');
  assert.is(refused(db, '203.0.113.255'), 'address_reserved');
  assert.is(refused(db, '198.51.100.1'), 'address_outside_subnet');
  stage.release(web, '203.0.113.77');
  assert.equal([stage.owners, stage.context.holders], [{}, 0]);
  assert.is(refused(db, '203.0.113.77'), 'address_taken', 'it rests');
  assert.is(stage.claim(web, '203.0.113.77')?.['address'], '203.0.113.77', 'its last holder gets it back');
});

test('the pools may be used up, and what refuses says so', () => {
  const stage = new Stage();
  for (const name of ['a', 'b', 'c']) stage.claim(`external-address/acme/${name}`);
  const { error, field } = stage.claim('external-address/acme/d') as { error: { code: string }; field: string };
  assert.equal([error.code, field], ['addresses_exhausted', 'address']);
  const free = stage.context.conditions.find(({ type }) => type === 'AddressesFree');
  assert.equal([free?.status, free?.reason], ['False', 'Full']);
});

test('a router that wants another address, or none, keeps no other', () => {
  const stage = new Stage();
  stage.claim(router);
  assert.is(stage.claim(router, '203.0.113.50')?.['address'], '203.0.113.50');
  assert.equal(stage.owners, { '203.0.113.50': router });
  assert.is(stage.claim(router, null, false)?.['address'], null);
  assert.equal([stage.owners, stage.context.holders], [{}, 1]);
  stage.release(router, null);
  assert.equal([stage.rows.has(`router/${router}`), stage.context.holders], [false, 0]);
});

test('who gives up without knowing its address leaves none behind', () => {
  const stage = new Stage();
  stage.claim(web);
  stage.release(web, null);
  assert.equal([stage.owners, stage.context.holders], [{}, 0]);
});

test('a tenant without a grant is answered as by an external network that does not exist', () => {
  const refusalTo = (by: string, from = by): Record<string, unknown> | undefined =>
    new Stage().tell({ type: 'external.claim', by, use: 'address', wantsAddress: true, address: null }, from).at(0);
  const foreign = 'external-address/beta/web';
  const absent = decided(
    externalNetworkMachine,
    { ...n.held, spec: null },
    {
      in: 'born',
      on: { type: 'external.claim', by: foreign, use: 'address', wantsAddress: true, address: null },
      from: foreign,
      to: '',
    },
  );
  const [unknown] = absent.asked as readonly { params: { to: string; event: object } }[];
  assert.equal(refusalTo(foreign), { to: unknown?.params.to, ...unknown?.params.event });
  assert.is(refusalTo(web, foreign)?.['type'], 'external.refused', 'nobody claims for another');
});

test('nobody releases what another has', () => {
  const stage = new Stage();
  stage.claim(web);
  stage.tell({ type: 'external.release', by: web, address: '203.0.113.10', ends: true }, db);
  stage.release(db, '203.0.113.10');
  assert.equal(stage.owners, { '203.0.113.10': web });
});

test('a declaration is refused with the path, the reason and what to do', () => {
  const codes = (change: object) => problemsOf(n.specOf(change)).map(({ code, path }) => `${code} ${path}`);
  assert.equal(codes({}), []);
  assert.equal(codes({ cidr: '203.0.113.0/31' }), ['cidr_invalid spec.cidr']);
  assert.equal(codes({ gateway: '203.0.113.255' }), ['gateway_outside_subnet spec.gateway']);
  assert.equal(codes({ hosts: ['w1', 'w1'] }), ['host_twice spec.hosts.1']);
  const pools = [
    { from: '203.0.113.20', to: '203.0.113.10' },
    { from: '198.51.100.1', to: '198.51.100.2' },
    { from: '203.0.113.0', to: '203.0.113.9' },
  ];
  assert.equal(codes({ pools }), [
    'pool_reversed spec.pools.0',
    'pool_outside spec.pools.1',
    'pool_reserved spec.pools.2',
  ]);
});

test('its addresses are listed in order with their owners, and all records agree', () => {
  const stage = new Stage();
  assert.equal(stage.ask('addresses', { after: null }), { used: 0, all: 3, outside: 0, addresses: [], next: null });
  stage.claim(web, '203.0.113.77');
  stage.claim(router);
  stage.claim('router/acme/other', null, false);
  const [first, second] = [
    { address: '203.0.113.10', owner: router },
    { address: '203.0.113.77', owner: web },
  ];
  const counted = { used: 1, all: 3, outside: 1 };
  assert.equal(stage.ask('addresses', { after: null }), { ...counted, addresses: [first, second], next: null });
  assert.equal(stage.ask('addresses', { after: '203.0.113.10' }), { ...counted, addresses: [second], next: null });
  assert.equal(stage.ask('verify'), { ...counted, ports: 2, problems: [] });
});

test('records that disagree are named', () => {
  const stage = new Stage();
  stage.claim(router);
  stage.claim(web);
  stage.rows.delete(`port/${web}`);
  assert.equal(stage.ask('verify')['problems'], [
    `203.0.113.11 is allocated to ${web}, which has none`,
    '2 users are counted, and there are 1',
  ]);
  stage.rows.delete('owner/203.0.113.11');
  assert.equal(stage.ask('verify')['problems'], [
    '203.0.113.11 is marked, and nobody has it',
    '2 addresses are counted, and there are 1',
    '2 users are counted, and there are 1',
  ]);
});

test.run();

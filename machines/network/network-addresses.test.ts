/** Allocation of addresses: one holder per address, a rest after each release, for random sequences of requests. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addressOf, blockOf } from '../values/addresses.ts';
import { decided } from '../values/decision-table-for-tests.ts';
import { freshUse, nextBlock, restMs, type SubnetUse } from './network-addresses.ts';
import { networkMachine } from './network-machine.ts';
import type { NetworkContext } from './network-messages.ts';
import { held, specOf } from './network-rows-for-tests.ts';
import { spaceOf } from './network-spec.ts';

const allocate = { type: 'address.allocate', port: 'port/t/p', address: null, mac: null };

test('a row that was not loaded is a bug, not a free address', () => {
  assert.throws(() => decided(networkMachine, held, { in: 'ready', on: allocate, rows: {}, to: '' }), /was not loaded/);
});

/** A network as its host keeps it: context and rows, one step at a time. */
class Ledger {
  context: object = { ...held };
  readonly rows = new Map<string, unknown>();
  now = 0;
  /** The reason of the last refused allocation. */
  refusal = '';

  private get subnets(): readonly SubnetUse[] {
    return (this.context as NetworkContext).subnets;
  }

  private heard(event: { type: string; port: string; address: string | null; mac?: string | null }) {
    const block = event.address === null ? nextBlock(this.subnets)?.block : blockOf(addressOf(event.address));
    const names = [
      `port/${event.port}`,
      `beside/${event.port}`,
      `block/${block}`,
      `owner/${event.address}`,
      `mac/${event.mac}`,
    ];
    const loaded = Object.fromEntries(names.map((name) => [name, this.rows.get(name) ?? null]));
    const move = decided(networkMachine, this.context, { in: 'ready', on: event, rows: loaded, at: this.now, to: '' });
    this.context = move.context;
    for (const { type, params } of move.asked) {
      const { collection, key, value } = params as { collection: string; key: string; value: unknown };
      if (type === 'row.put') this.rows.set(`${collection}/${key}`, JSON.parse(JSON.stringify(value)));
      if (type === 'row.remove') this.rows.delete(`${collection}/${key}`);
    }
    const sent = move.asked.find(({ type }) => type === 'send')?.params as
      { event: Record<string, unknown> } | undefined;
    return sent?.event;
  }

  allocate(port: string, address: string | null): string | undefined {
    const answer = this.heard({ type: 'address.allocate', port, address, mac: null });
    const error = answer?.['error'] as { code: string; message: string } | undefined;
    this.refusal = error === undefined ? '' : `${error.code}: ${error.message}`;
    return answer?.['type'] === 'address.allocated' ? String(answer['address']) : undefined;
  }

  release(port: string, address: string): void {
    this.heard({ type: 'address.release', port, address });
  }
}

const ports = ['port/t/a', 'port/t/b', 'port/t/c', 'port/t/d'];
const anAddress = fc.integer({ min: 0, max: 15 }).map((last) => `10.0.0.${last}`);
const aStep = fc.oneof(
  fc.record({ kind: fc.constant('take' as const), port: fc.constantFrom(...ports), address: fc.option(anAddress) }),
  fc.record({ kind: fc.constant('give' as const), port: fc.constantFrom(...ports) }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: restMs }) }),
);

test('an address has one holder, rests after its release, and is never a reserved one', () => {
  fc.assert(
    fc.property(fc.array(aStep, { maxLength: 60 }), (steps) => {
      const ledger = new Ledger();
      const holding = new Map<string, string>();
      const resting = new Map<string, { until: number; port: string }>();
      for (const step of steps) {
        if (step.kind === 'pass') ledger.now += step.ms;
        else if (step.kind === 'give') {
          const address = holding.get(step.port);
          if (address === undefined) continue;
          ledger.release(step.port, address);
          holding.delete(step.port);
          resting.set(address, { until: ledger.now + restMs, port: step.port });
        } else {
          const address = ledger.allocate(step.port, step.address);
          const had = holding.get(step.port);
          if (had !== undefined) assert.is(address, had, 'a repeated request gets the same address');
          else if (address !== undefined) {
            assert.not([...holding.values()].includes(address), `${address} twice`);
            const rest = resting.get(address);
            assert.ok(rest === undefined || rest.until <= ledger.now || rest.port === step.port, `${address} rests`);
            assert.ok(
              addressOf(address) >= addressOf('10.0.0.5') && addressOf(address) < addressOf('10.0.0.15'),
              address,
            );
            holding.set(step.port, address);
          }
        }
        const { subnets, ports: count } = ledger.context as NetworkContext;
        assert.equal([subnets[0]?.free, count], [10 - holding.size, holding.size]);
      }
    }),
    { numRuns: 150 },
  );
});

test('a full subnet refuses, and allocates addresses again after their rest', () => {
  const ledger = new Ledger();
  const given = Array.from({ length: 10 }, (_, n) => ledger.allocate(`port/t/x${n}`, null));
  assert.equal(new Set(given).size, 10);
  assert.is(ledger.allocate('port/t/late', null), undefined);
  ledger.release('port/t/x3', String(given[3]));
  assert.is(ledger.allocate('port/t/late', null), undefined, 'it still rests');
  ledger.now += restMs;
  assert.is(ledger.allocate('port/t/late', null), given[3]);
});

test('four thousand ports fit into a network; the next is refused with the numbers until one is released', () => {
  const ledger = new Ledger();
  const wide = specOf({ subnets: [{ cidr: '10.0.0.0/16' }] });
  ledger.context = { ...held, spec: wide, subnets: wide.subnets.map((subnet) => freshUse(spaceOf(subnet))) };
  const given = Array.from({ length: 4_000 }, (_, n) => ledger.allocate(`port/t/x${n}`, null));
  assert.is(given.indexOf(undefined), -1);
  assert.is(ledger.allocate('port/t/late', null), undefined);
  assert.match(ledger.refusal, /^quota_exceeded: network\/t\/n has 4000 of 4000 ports/);
  assert.is(ledger.allocate('port/t/x7', null), given[7], 'a repeated request gets the same address');
  ledger.release('port/t/x7', String(given[7]));
  ledger.release('port/t/x7', String(given[7]));
  assert.ok(ledger.allocate('port/t/late', null) !== undefined, 'there is room for one again');
  assert.is(ledger.allocate('port/t/later', null), undefined, 'a repeated release counts once');
});

test('a thousand ports in a /16: one block and two rows each', () => {
  const ledger = new Ledger();
  const wide = specOf({ subnets: [{ cidr: '10.0.0.0/16' }] });
  ledger.context = { ...held, spec: wide, subnets: wide.subnets.map((subnet) => freshUse(spaceOf(subnet))) };
  const given = Array.from({ length: 1_000 }, (_, n) => ledger.allocate(`port/t/x${n}`, null));
  assert.is(new Set(given).size, 1_000);
  assert.ok(JSON.stringify(ledger.context).length < 2_000, 'the context does not grow with the ports');
});

test.run();

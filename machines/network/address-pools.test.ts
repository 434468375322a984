/** Pools: what a declaration is refused for, which addresses are chosen, and the numbers after all changes. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addressOf, blockOf, formatAddress } from '../values/addresses.ts';
import { blocksFrom, chosenCount, poolProblems, type AddressSpace, type Pool } from './address-pools.ts';
import * as ipam from './network-addresses.ts';
import type { Block, SubnetUse } from './network-addresses.ts';
import { specOf } from './network-rows-for-tests.ts';
import { problemsOf, spaceOf } from './network-spec.ts';

const pool = (from: string, to: string): Pool => ({ from, to });
const subnet = (pools: readonly Pool[] | null, gateway: string | null = null): AddressSpace =>
  spaceOf({ cidr: '10.0.0.0/24', gateway, pools });
/** External addresses: only network, broadcast and upstream gateway are nobody's. */
const external = (pools: readonly Pool[]): AddressSpace => ({
  name: 'outside',
  cidr: '203.0.113.0/28',
  gateway: '203.0.113.1',
  reservedHead: 1,
  pools,
});

const refusals: readonly (readonly [AddressSpace, string])[] = [
  [
    subnet([pool('10.0.0.9', '10.0.0.8')]),
    'pool_reversed spec.subnets.0.pools.0: 10.0.0.9 to 10.0.0.8 ends before it begins; exchange the two addresses',
  ],
  [
    subnet([pool('10.0.0.8', '10.0.1.8')]),
    'pool_outside spec.subnets.0.pools.0: 10.0.0.8 to 10.0.1.8 is not within 10.0.0.0/24; use 10.0.0.5 to 10.0.0.254',
  ],
  [
    subnet([pool('10.0.0.4', '10.0.0.8')]),
    'pool_reserved spec.subnets.0.pools.0: 10.0.0.4 to 10.0.0.8 has reserved addresses of 10.0.0.0/24; ' +
      'use 10.0.0.5 to 10.0.0.254',
  ],
  [
    subnet([pool('10.0.0.200', '10.0.0.255')]),
    'pool_reserved spec.subnets.0.pools.0: 10.0.0.200 to 10.0.0.255 has reserved addresses of 10.0.0.0/24; ' +
      'use 10.0.0.5 to 10.0.0.254',
  ],
  [
    subnet([pool('10.0.0.8', '10.0.0.20'), pool('10.0.0.30', '10.0.0.40'), pool('10.0.0.20', '10.0.0.22')]),
    'pool_overlap spec.subnets.0.pools.2: 10.0.0.20 to 10.0.0.22 overlaps pool 0; merge the two',
  ],
  [
    external([pool('203.0.113.0', '203.0.113.3')]),
    'pool_reserved spec.subnets.0.pools.0: 203.0.113.0 to 203.0.113.3 has reserved addresses of 203.0.113.0/28; ' +
      'use 203.0.113.1 to 203.0.113.14',
  ],
];

test('a pool that cannot be used is refused with its path, the reason and what to use', () => {
  for (const [space, refusal] of refusals) {
    const found = poolProblems(space, 'spec.subnets.0.pools');
    assert.equal(
      found.map(({ code, path, message }) => `${code} ${path}: ${message}`),
      [refusal],
    );
  }
  assert.equal(poolProblems(subnet([pool('10.0.0.5', '10.0.0.9'), pool('10.0.0.10', '10.0.0.254')]), ''), []);
  const declared = specOf({ subnets: [{ cidr: '10.0.0.0/24', pools: [pool('10.0.0.9', '10.0.0.8')] }] });
  assert.equal(
    problemsOf(declared).map(({ code }) => code),
    ['pool_reversed'],
  );
});

test('an external network chooses from its pools alone, right behind its network address', () => {
  const space = external([pool('203.0.113.1', '203.0.113.3')]);
  assert.is(chosenCount(space), 2, 'its upstream gateway is in the pool, and is not given');
  let use = ipam.freshUse(space);
  let block: Block | undefined;
  const given: string[] = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const taken = ipam.takeNext([use], `owner/${turn}`, 0, () => block);
    if ('error' in taken) {
      assert.is(taken.error.code, 'addresses_exhausted');
      break;
    }
    given.push(taken.address);
    [use, block] = [taken.subnet, taken.block.value];
  }
  assert.equal(given, ['203.0.113.2', '203.0.113.3']);
  const asked = (address: string) => {
    const answer = ipam.takeThis([use], address, 'owner/x', 0, () => block, undefined);
    return 'error' in answer ? answer.error.code : answer.address;
  };
  assert.equal(['203.0.113.1', '203.0.113.0', '203.0.113.15', '203.0.113.9'].map(asked), [
    'address_reserved',
    'address_reserved',
    'address_reserved',
    '203.0.113.9',
  ]);
});

test('blocks are searched from the cursor on, then from the first pool, each once', () => {
  const wide = {
    ...subnet([pool('10.0.0.9', '10.0.0.9'), pool('10.0.3.4', '10.0.4.4'), pool('10.0.4.9', '10.0.5.1')]),
  };
  const of = (start: string) => [...blocksFrom({ ...wide, cidr: '10.0.0.0/16' }, Math.floor(addressOf(start) / 256))];
  const named = (blocks: readonly number[]) => blocks.map((block) => formatAddress(block * 256).split('.')[2]).join('');
  assert.equal([of('10.0.0.0'), of('10.0.1.0'), of('10.0.4.0'), of('10.0.9.0')].map(named), [
    '0345',
    '3450',
    '4503',
    '0345',
  ]);
});

test('no pool at all: only requested addresses', () => {
  const use = ipam.freshUse(subnet([]));
  const next = ipam.takeNext([use], 'port/t/p', 0, () => undefined);
  assert.is('error' in next && next.error.code, 'addresses_exhausted');
  const asked = ipam.takeThis([use], '10.0.0.9', 'port/t/p', 0, () => undefined, undefined);
  assert.is('error' in asked ? '' : asked.address, '10.0.0.9');
});

const anOffset = fc.integer({ min: 5, max: 600 });
const somePools = fc.option(
  fc.array(fc.tuple(anOffset, anOffset), { minLength: 1, maxLength: 3 }).map((pairs) => {
    const ends = [...new Set(pairs.flat())].sort((one, other) => one - other);
    const at = (offset: number | undefined): string => formatAddress(addressOf('10.0.0.0') + (offset ?? 0));
    return Array.from({ length: Math.floor(ends.length / 2) }, (_, n) => pool(at(ends[2 * n]), at(ends[2 * n + 1])));
  }),
);
const aStep = fc.oneof(
  fc.record({ kind: fc.constant('take' as const), address: fc.option(anOffset, { freq: 3 }) }),
  fc.record({ kind: fc.constant('give' as const), which: fc.nat(9) }),
  fc.record({ kind: fc.constant('pools' as const), pools: somePools }),
);

test('whatever is taken, given back and pooled anew: chosen addresses are in pools, and the numbers are right', () => {
  fc.assert(
    fc.property(fc.array(aStep, { maxLength: 40 }), (steps) => {
      let use: SubnetUse = ipam.freshUse(spaceOf({ cidr: '10.0.0.0/22', gateway: '10.0.1.9', pools: null }));
      const blocks: Record<string, Block> = {};
      const held: string[] = [];
      const isPooled = (address: string): boolean =>
        use.pools?.some(
          ({ from, to }) => addressOf(from) <= addressOf(address) && addressOf(address) <= addressOf(to),
        ) ?? true;
      const loaded = (key: string): Block | undefined => blocks[key];
      for (const [at, step] of steps.entries()) {
        const now = at * ipam.restMs;
        if (step.kind === 'pools') use = ipam.repooled(use, step.pools, blocks, now);
        else if (step.kind === 'give') {
          const [address] = held.splice(step.which, 1);
          if (address === undefined) continue;
          const given = ipam.giveBack(use, address, 'port/t/p', now, loaded);
          [use, blocks[given.block.key]] = [given.subnet, given.block.value];
        } else {
          const wanted = step.address === null ? null : formatAddress(addressOf('10.0.0.0') + step.address);
          const taken =
            wanted === null
              ? ipam.takeNext([use], 'port/t/p', now, loaded)
              : ipam.takeThis(
                  [use],
                  wanted,
                  'port/t/p',
                  now,
                  loaded,
                  held.includes(wanted) ? { port: 'x', mac: '' } : undefined,
                );
          if ('error' in taken) continue;
          assert.ok(wanted !== null || isPooled(taken.address), `${taken.address} was chosen`);
          assert.is(taken.block.key, blockOf(addressOf(taken.address)));
          assert.not(held.includes(taken.address), `${taken.address} twice`);
          held.push(taken.address);
          [use, blocks[taken.block.key]] = [taken.subnet, taken.block.value];
        }
        const inside = held.filter(isPooled).length;
        assert.equal([use.free, use.outside], [chosenCount(use) - inside, held.length - inside]);
        const searched = [...blocksFrom(use, 0)].map((block) => blockOf(block * 256));
        assert.equal(
          Object.keys(use.full).filter((block) => !searched.includes(block)),
          [],
        );
        // A pool with a free address has a block to search.
        if (use.free > 0) assert.is.not(ipam.nextBlock([use]), undefined);
      }
    }),
    { numRuns: 150 },
  );
});

test.run();

/** External addresses that follow a service IP: told its address and its end, and in the way of its deletion. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { serviceIpMachine } from './service-ip-machine.ts';
import * as s from './service-ip-rows-for-tests.ts';

const by = 'external-address/t/web';
const follow = { type: 'port.follow' };
const followed = { followers: [by] };
const grant = { grant: { address: s.address, vpc: s.vpc, prefixLength: 24, gateway: '10.0.0.1' } };
const remove = { type: 'service-ip.delete' };
const told = 'port.address > external-address';

const rows: readonly Row[] = [
  { in: 'born', on: follow, from: by, to: 'gone', asks: ['port.lost > external-address'] },
  { in: 'claiming.address', on: follow, from: by, to: 'claiming.address', asks: [] },
  { in: 'allocated.active', with: grant, on: follow, from: by, to: 'allocated.active', asks: [told] },
  {
    in: 'allocated.active',
    with: { ...grant, ...followed },
    on: remove,
    command: 'd',
    to: 'allocated.active',
    asks: ['reject in_use'],
  },
  { in: 'allocated.active', with: followed, on: { type: 'port.unfollow' }, from: by, to: 'allocated.active', asks: [] },
  {
    in: 'releasing',
    with: { ...grant, placed: true },
    on: follow,
    from: by,
    to: 'releasing',
    asks: ['port.lost > external-address'],
  },
];

test('followers are told the address and the end, and keep it from being deleted', () => {
  assert.equal(disagreements(serviceIpMachine, s.claiming, rows), []);
});

test.run();

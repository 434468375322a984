/** Decisions of a port about a binding that an agent has found: its own, one it does not have, that of a lost port. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import { fresh, held, w2 } from './port-rows-for-tests.ts';

const found = {
  port: held.id,
  runEpoch: 2,
  vpc: 'vpc/t/main',
  network: 'network/t/n',
  address: '10.0.0.5',
  pairs: ['10.0.0.6'],
};
const confirm = (host: string, hostIndex = 1) => ({ type: 'binding.confirm', host, hostIndex, found });
const standby = { host: 'w2', facts: w2, runEpoch: 3, phase: 'dropping', proof: null, failure: null, waiters: [] };
const removal = 'binding.remove > binding';

const rows: readonly Row[] = [
  { in: 'active', on: confirm('w1'), to: 'active', asks: [] },
  { in: 'unbinding', on: confirm('w1'), to: 'unbinding', asks: [] },
  { in: 'active', with: { standby }, on: confirm('w2'), to: 'active', asks: [] },
  { in: 'active', on: confirm('w2'), to: 'active', asks: [removal] },
  { in: 'binding.segment', on: confirm('w2'), to: 'binding.segment', asks: [removal] },
  { in: 'unbound', with: { host: null }, on: confirm('w1'), to: 'unbound', asks: [removal] },
  // Declared again after it was lost: what it has by now is its own.
  {
    in: 'claiming.asking',
    with: { host: null, grant: null },
    on: confirm('w1'),
    to: 'claiming.asking',
    asks: [removal],
  },
  {
    in: 'born',
    with: fresh,
    on: confirm('w1'),
    from: 'agent/system/w1@w1',
    to: 'gone',
    asks: ['port.left > vpc', 'port.left > vpc', removal, 'address.release > network'],
  },
];

test('decisions: bindings that an agent has found', () => {
  assert.equal(disagreements(portMachine, held, rows), []);
});

test('the binding on the asking host is removed, whichever run made it, and the lost port is nowhere any more', () => {
  const { asked } = decided(portMachine, held, { in: 'born', with: fresh, on: confirm('w1', 7), to: '' });
  const left = (address: string) => ({
    to: 'vpc/t/main',
    event: { type: 'port.left', port: held.id, address, host: 7 },
  });
  assert.equal(
    asked.map(({ params }) => params),
    [
      left('10.0.0.5'),
      left('10.0.0.6'),
      { to: 'binding/t/p@w1', event: { type: 'binding.remove', runEpoch: 2 } },
      {
        to: 'network/t/n',
        event: { type: 'address.release', port: held.id, address: '10.0.0.5', had: ['10.0.0.6'] },
      },
    ],
  );
});

test.run();

/**
 * What becomes of NICs that are added to and removed from a VM: their ports are claimed before the change is accepted,
 * used by the next run, or by the present one if it has ports for them (vm-plugs.test.ts), and given back once no run
 * has them.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import type { VmSpec } from './vm-protocol.ts';
import * as v from './vm-rows-for-tests.ts';
import {
  atRest,
  both,
  did,
  eth1,
  eth1Claim,
  eth1Gone,
  eth1Port,
  eth1Ready,
  eth1Refused,
  failed,
  generations,
  held,
  living,
  more,
  needed,
  none,
  port,
  preparing,
  restartOf,
  row,
  runs,
  spec,
  waiting,
} from './vm-rows-for-tests.ts';

const old = { ...runs, proof: { ...v.proof, diskSlots: 8 } };

test('a NIC is added once its port has an address', () => {
  for (const [state, of] of living) {
    const asked = did(state, of, v.update(more));
    assert.equal([asked.state, asked.asks], [state, ['defer', eth1Claim]], state);
    assert.equal([asked.context['spec'], asked.context['generation']], [spec, 1], 'nothing is accepted yet');
    const claim = asked.asked.at(-1)?.params as { to: string; event: object };
    const { name: _, ...nic } = eth1;
    const wanted = { type: 'port.claim', spec: { ...nic, host: null }, holder: v.id, labels: {} };
    assert.equal([claim.to, claim.event], [eth1Port, wanted], state);
    const { context, asks } = did(state, asked.context, eth1Ready);
    assert.equal(asks, ['reply'], state);
    assert.equal([context['spec'], context['generation'], context['proposed']], [more, 2, null], state);
    assert.equal(restartOf(context), none, state);
    assert.is(context['observedGeneration'], state === 'stopped' ? 2 : 1, state);
  }
  // The run of an older release has no ports for NICs.
  const { asked, context: older } = did('running', did('running', old, v.apply(more)).context, eth1Ready);
  assert.equal([restartOf(older), generations(older)], [needed('nics.1'), [2, 1, 1]]);
  const ports = { ...held.ports, [eth1Port]: v.eth1Facts };
  assert.equal(asked[0]?.params, {
    commandId: 'C',
    result: { uid: 'U1', generation: 2, result: 'updated', ports },
  });
});

test('a refused port rejects the change, names the field, and leaves the old spec', () => {
  const three = { ...more, nics: [...more.nics, { ...eth1, name: 'eth2', address: null }] };
  for (const [state, of] of living) {
    const proposed = did(state, of, v.update(three)).context;
    const { asks, asked, context } = did(state, proposed, eth1Refused);
    assert.equal(asks, ['reject taken', 'port.release > port'], state);
    assert.equal((asked[0]?.params as { issues: object }).issues, [
      { path: 'spec.nics.1.address', message: v.portRefused.error.message },
    ]);
    assert.is((asked[1]?.params as { to: string }).to, 'port/t/v.eth2');
    assert.equal([context['spec'], context['generation'], context['proposed']], [spec, 1, null], state);
    assert.equal([restartOf(context), context['claimed']], [none, [port, 'port/t/v.eth2']], state);
    const late = did(state, context, { ...eth1Ready, port: 'port/t/v.eth2' });
    assert.equal([late.asks, late.context['ports']], [[], held.ports], 'it is being given back');
  }
});

test('a change that waits for ports is asked for until they answer', () => {
  const proposed = did('running', runs, v.update(more)).context;
  const again = did('running', proposed, 'proposalDeadline');
  assert.equal([again.state, again.asks], ['running', [eth1Claim]]);
  assert.equal(did('running', runs, 'proposalDeadline').asks, []);
  const same = did('running', proposed, v.update(more), { command: 'D' });
  assert.equal(same.asks, ['defer', eth1Claim]);
  assert.equal(same.context['waiters'], v.waiters('updated', 'C', 'D').waiters);
  const entering: readonly (readonly [string, object, Row['on']])[] = [
    ['unplaced', { host: null }, 'placeReview'],
    ['running', runs, v.ended('crash')],
    ['starting', {}, v.running('L1')],
    ['running', runs, v.restart],
    ['stopping', v.resting, 'stopDeadline'],
    ['stopping', v.resting, v.ended('stopped')],
    ['releasing', { ...v.resting, ...waiting }, v.unbound],
    ['stopped', atRest, 'proposalDeadline'],
    ['failed', failed, 'proposalDeadline'],
  ];
  for (const [state, of, on] of entering) {
    const { asks, state: to } = did(state, { ...of, proposed: proposed['proposed'] }, on);
    assert.ok(asks.includes(eth1Claim), `${to} does not ask again`);
  }
});

test('a newer change counts instead of the one that waits for ports, whose command is told so', () => {
  const superseded = 'reject superseded';
  for (const [state, of] of living) {
    const proposed = did(state, of, v.update(more)).context;
    const other = did(state, proposed, v.update({ ...spec, guestAgent: true }), { command: 'D' });
    assert.equal([other.state, other.asks], [state, [superseded, 'port.release > port', 'reply']], state);
    assert.equal((other.asked[0]?.params as { commandId: string }).commandId, 'C');
    assert.equal([other.context['proposed'], other.context['generation']], [null, 2], state);
    const back = did(state, proposed, v.apply(spec, { protect: true }), { command: 'D' });
    assert.equal([back.state, back.asks], [state, [superseded, 'port.release > port', 'reply']], state);
    assert.equal([back.context['proposed'], back.context['generation'], back.context['protect']], [null, 1, true]);
    const bigger = did(state, proposed, v.apply({ ...more, cpus: 2 }), { command: 'D' });
    assert.equal([bigger.state, bigger.asks], [state, [superseded, 'defer', eth1Claim]], state);
    const { context } = did(state, bigger.context, eth1Ready);
    assert.equal([(context['spec'] as VmSpec).cpus, context['generation']], [2, 2], state);
  }
});

test('what a newer change keeps of the NICs of the older one is kept', () => {
  const eth2 = { ...eth1, name: 'eth2', address: null };
  const three = { ...spec, nics: [...more.nics, eth2] };
  const half = did('running', did('running', runs, v.update(three)).context, eth1Ready);
  assert.equal([half.asks, half.context['generation']], [[], 1], 'the other port has not answered');
  const fewer = did('running', half.context, v.update(more));
  assert.equal(fewer.asks, ['reject superseded', 'port.release > port', 'reply'], 'its port has an address already');
  assert.is((fewer.asked[1]?.params as { to: string }).to, 'port/t/v.eth2');
  const otherwise = { ...spec, nics: [...spec.nics, { ...eth1, address: '10.0.0.8' }] };
  const rows = [
    row('running', half.context, v.update(otherwise), 'running', ['reject name_busy']),
    row('running', fewer.context, v.update(three), 'running', ['reject name_busy']),
  ];
  assert.equal(disagreements(vmMachine, held, rows), [], 'one name, two ports: the first has to end');
});

test('with the VM its undecided change is over', () => {
  for (const [state, of] of living) {
    const proposed = did(state, of, v.update(more)).context;
    const { asks, context } = did(state, proposed, v.remove, { command: 'D' });
    assert.equal(asks.slice(0, 2), ['reject deleted', 'defer'], state);
    assert.equal([context['proposed'], context['waiters']], [null, v.waiters('deleted', 'D').waiters], state);
    assert.equal(context['claimed'], [port, eth1Port], 'to be given back with the others');
  }
});

const twoNics = { ...v.made(more), claimed: [port, eth1Port], ports: both };

test('the port of a removed NIC is given back once no run has it', () => {
  const removed = did('running', { ...twoNics, ...old }, v.update());
  assert.equal([removed.asks, restartOf(removed.context)], [['reply'], needed('nics.1')]);
  const ended = did('stopping', { ...removed.context, restarting: true }, v.ended('stopped'));
  assert.equal([ended.state, ended.asks], [preparing, ['port.release > port', ...v.needs]]);
  assert.is((ended.asked[0]?.params as { to: string }).to, eth1Port);
  const released = did(
    'releasing',
    { ...removed.context, ...v.resting, runningSince: null, awaited: [eth1Port] },
    {
      type: 'port.unbound',
      port: eth1Port,
    },
  );
  assert.equal([released.state, released.asks], ['stopped', ['port.release > port']]);
  assert.equal(generations(released.context), [2, 0, 1], 'its port has not ended yet');
  assert.equal(generations(did('stopped', released.context, eth1Gone).context), [2, 0, 2]);
  const resting = did('stopped', { ...twoNics, ...atRest }, v.update());
  assert.equal(
    [resting.asks, generations(resting.context)],
    [
      ['port.release > port', 'reply'],
      [2, 0, 1],
    ],
  );
});

test('a removed NIC comes back without a claim while the run has it, else not before its port has ended', () => {
  const removed = did('running', { ...twoNics, ...runs }, v.update()).context;
  const back = did('running', removed, v.update(more));
  assert.equal([back.asks, restartOf(back.context), generations(back.context)], [['reply'], none, [3, 3, 3]]);
  const other = { ...more, nics: [...spec.nics, { ...eth1, address: null }] };
  assert.equal(did('running', removed, v.update(other)).asks, ['defer', eth1Claim], 'the port refuses another spec');
  const kept = did('running', did('running', removed, v.update(other)).context, eth1Refused).context;
  assert.equal(kept['claimed'], [port, eth1Port], 'it is still the port of the run');
  const resting = did('stopped', { ...twoNics, ...atRest }, v.update()).context;
  assert.equal(did('stopped', resting, v.update(more)).asks, ['reject name_busy']);
  assert.equal(did('stopped', did('stopped', resting, eth1Gone).context, v.update(more)).asks, ['defer', eth1Claim]);
});

test.run();

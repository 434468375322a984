/**
 * NICs that are declared while the VM runs: a port is bound before its host is told of the NIC, and unbound only once
 * QEMU has closed its tap. Volumes, which do the same, are in vm-plugs.test.ts.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { VmContext } from './vm-context.ts';
import { incarnationSpec } from './vm-messages.ts';
import { hindrances } from './vm-migration.ts';
import * as v from './vm-rows-for-tests.ts';
import {
  attachedSays,
  did,
  eth1,
  eth1Claim,
  eth1Facts,
  eth1Port,
  eth1Ready,
  follow,
  generations,
  lasting,
  more,
  none,
  passing,
  port,
  restartOf,
  spec,
} from './vm-rows-for-tests.ts';

const nicOf = (of: string, slot: number) => ({
  port: of,
  binding: `b${slot}`,
  bindingUid: 'B',
  mac: 'm',
  mtu: 1450,
  slot,
});
const run = { ...v.runs, proof: { ...v.proof, diskSlots: 8, nicSlots: 8 }, nics: { [port]: nicOf(port, 0) } };
const two = {
  ...run,
  ...v.made(more),
  claimed: [port, eth1Port],
  ports: { ...v.held.ports, [eth1Port]: eth1Facts },
  nics: { ...run.nics, [eth1Port]: nicOf(eth1Port, 1) },
};
const tapped = { ...v.tapped, port: eth1Port, binding: 'binding/t/v.eth1@w1', bindingUid: 'B1' };
const plugged = (revision: number, nics: Readonly<Record<string, string>> | null, error: object | null = null) => ({
  type: 'incarnation.plugged',
  incarnationUid: 'L1',
  revision,
  disks: [],
  ...(nics === null
    ? {}
    : {
        nics: Object.entries(nics).map(([of, standing]) => ({
          port: of,
          standing,
          error: standing === 'failed' ? passing : null,
        })),
      }),
  error,
});
const [binds, rests, releases] = ['port.bind > port', 'port.rest > port', 'port.release > port'];
const plugs = 'incarnation.plug > incarnation';
const saysOf = (context: VmContext): unknown => attachedSays(context, 'NicsAttached');
const phases = ({ plugs: of }: VmContext): unknown =>
  Object.entries(of).map(([id, { phase, slot }]) => [id, phase, slot]);
const reasons = (context: VmContext) => hindrances(context).map(({ code }) => code);

const binding = follow('running', run, [
  [v.update(more), ['defer', eth1Claim]],
  [eth1Ready, ['reply', binds]],
]);

test('a NIC that is declared gets a port, which is bound, and is plugged into the run', () => {
  assert.equal([phases(binding), generations(binding as never)], [[[eth1Port, 'binding', 1]], [2, 1, 1]]);
  assert.equal(saysOf(binding), ['False', 'Attaching', `${eth1Port} is to be bound on the host`]);
  assert.equal([restartOf(binding as never), reasons(binding)], [none, ['nics_change']]);
  const waits = did('running', binding, tapped);
  const told = waits.asked[0]?.params as { event: { nics: unknown; revision: number } };
  const eth1Nic = { ...nicOf(eth1Port, 1), binding: tapped.binding, bindingUid: 'B1', mac: tapped.mac };
  assert.equal([waits.asks, told.event.revision, told.event.nics], [[plugs], 1, [run.nics[port], eth1Nic]]);
  const over = follow('running', waits.context, [
    ['proposalDeadline', [plugs]],
    [plugged(1, { [port]: 'plugged', [eth1Port]: 'plugged' }), []],
  ]);
  assert.equal([over.plugs, over.runSpec, generations(over as never)], [{}, more, [2, 2, 2]]);
  assert.equal([saysOf(over), reasons(over)], [['True', 'AsDeclared', ''], []]);
  // Where it moves, it has what it has here.
  const { nics, nicSlots } = incarnationSpec(over);
  assert.equal([nics.map(({ slot }) => slot), nicSlots], [[0, 1], 8]);
});

test('why a port is not bound or not wired is said, and it is asked again if that may help', () => {
  const delayed = { type: 'port.delayed', port: eth1Port, error: passing };
  const refused = { ...v.portFailed(lasting), port: eth1Port };
  const waits = follow('running', binding, [
    [delayed, []],
    ['proposalDeadline', [binds]],
  ]);
  assert.equal([saysOf(waits), waits.failure], [['False', 'Refused', `${eth1Port}: ${passing.message}`], null]);
  const left = follow('running', waits, [
    [refused, []],
    ['proposalDeadline', []],
  ]);
  assert.equal([saysOf(left), left.failure], [['False', 'Refused', `${eth1Port}: ${lasting.message}`], null]);
  assert.equal(follow('running', left, [[v.update(spec), ['reply', releases]]]).plugs, {});
});

test('a NIC that could not be plugged gets another tap', () => {
  const again = follow('running', binding, [
    [tapped, [plugs]],
    [plugged(1, { [port]: 'plugged', [eth1Port]: 'failed' }), []],
    ['proposalDeadline', [binds]],
    [tapped, [plugs]],
    // Asked twice, the port says so twice, and its tap is wired anew.
    [tapped, [plugs]],
    [plugged(2, { [port]: 'plugged', [eth1Port]: 'plugged' }), []],
    [plugged(3, null, passing), []],
    // A host of an older release says nothing of NICs.
    [plugged(3, null), []],
    [plugged(3, { [port]: 'plugged', [eth1Port]: 'plugged' }), []],
  ]);
  assert.equal([again.plugs, generations(again as never)], [{}, [2, 2, 2]]);
  // The guest has it, and its port was bound again: its host wires the tap that QEMU has open.
  const late = follow('running', again, [
    [tapped, [plugs]],
    [plugged(4, { [port]: 'plugged', [eth1Port]: 'plugged' }), []],
  ]);
  assert.equal([late.plugs, late.nics[eth1Port]?.slot], [{}, 1]);
  follow('running', { ...v.runs, proof: v.proof }, [[v.tapped, []]]);
});

test('a NIC that is declared no more stays, with its port, until QEMU has closed its tap', () => {
  const waits = follow('running', two, [
    [v.update(spec), ['reply', plugs]],
    [plugged(1, { [port]: 'plugged', [eth1Port]: 'leaving' }), []],
    ['proposalDeadline', [plugs]],
    [plugged(1, { [port]: 'plugged', [eth1Port]: 'leaving' }), []],
  ]);
  assert.match(String((saysOf(waits) as string[])[2]), /eth1 is to be detached and stays in use until the guest/);
  assert.equal([waits.claimed, reasons(waits)], [[port, eth1Port], ['nics_change']]);
  const over = follow('running', waits, [[plugged(1, { [port]: 'plugged' }), [releases]]]);
  assert.equal([Object.keys(over.nics), over.plugs, generations(over as never)], [[port], {}, [2, 2, 2]]);
  // The first NIC can go as well, and a run may have none.
  follow('running', two, [
    [v.update({ ...more, nics: [eth1] }), ['reply', plugs]],
    [plugged(1, { [eth1Port]: 'plugged' }), [releases]],
  ]);
});

test('one that is wanted back leaves first, and is then bound and plugged anew', () => {
  const back = follow('running', two, [
    [v.update(spec), ['reply', plugs]],
    [v.update(more), ['reply', plugs]],
    [plugged(1, { [port]: 'plugged' }), []],
    [plugged(2, { [port]: 'plugged', [eth1Port]: 'leaving' }), []],
    ['proposalDeadline', [plugs]],
    [plugged(2, { [port]: 'plugged', [eth1Port]: 'failed' }), []],
    ['proposalDeadline', [binds]],
    [tapped, [plugs]],
    [plugged(3, { [port]: 'plugged', [eth1Port]: 'plugged' }), []],
  ]);
  assert.equal([back.plugs, back.runSpec, back.nics[eth1Port]?.slot], [{}, more, 1]);
});

test('a slot is given again only once it is free; a stop and a restart end what is underway', () => {
  const eights = Array.from({ length: 8 }, (_, at) => ({ ...eth1, name: `eth${at}`, address: null }));
  const ids = eights.map(({ name }) => `port/t/v.${name}`);
  const full = {
    ...run,
    ...v.made({ ...spec, nics: eights }),
    claimed: ids,
    ports: Object.fromEntries(ids.map((id) => [id, eth1Facts])),
    nics: Object.fromEntries(ids.map((id, at) => [id, nicOf(id, at)])),
  };
  const other = { ...spec, nics: [...eights.slice(1), { ...eth1, name: 'more', address: null }] };
  const waits = follow('running', full, [
    [v.update(other), ['defer', eth1Claim]],
    [{ ...eth1Ready, port: 'port/t/v.more' }, ['reply', plugs]],
  ]);
  assert.match(String((saysOf(waits) as string[])[2]), /port\/t\/v.more waits for one of 8 slots/);
  const rest = Object.fromEntries(ids.slice(1).map((id) => [id, 'plugged']));
  const next = follow('running', waits, [[plugged(1, rest), [releases, binds]]]);
  assert.equal(phases(next), [['port/t/v.more', 'binding', 0]]);
  const stopped = did('stopping', { ...binding, ...v.resting }, v.ended('stopped'));
  assert.is(stopped.asks.filter((one) => one === rests).length, 2, 'also the one that was being bound');
  const restarted = did('stopping', { ...binding, restarting: true }, v.ended('stopped'));
  assert.is(restarted.asks.filter((one) => one === binds).length, 2);
  assert.equal((restarted.context as unknown as VmContext).plugs, {});
});

test.run();

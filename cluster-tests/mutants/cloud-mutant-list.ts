/**
 * Breaks of charts and actors: what a cloud must never do, done once. Like mutant-list.ts, but caught by the workload
 * of the cloud: by what an observer of the hosts sees (K1, K3, K4, K10), or by a cloud that finds no rest (K13).
 */
import type { Mutant } from './mutant-list.ts';

const one = (name: string, promise: string, file: string, find: string, put: string): Mutant => ({
  name,
  promise,
  scenario: 'cloud',
  patches: [{ file, find, put }],
});

export const cloudMutants: readonly Mutant[] = [
  one(
    'a held address is given again',
    'K3',
    'machines/network/network-addresses.ts',
    '  if (addresses.hasBit(block.used, offsetOf(at))) return false;\n',
    '',
  ),
  one(
    'two VPCs get one number',
    'K10',
    'machines/cluster/cluster-messages.ts',
    "vniCandidates(context.nextVni).find((vni) => row(event, 'vni-owner', String(vni)) === undefined)",
    'vniCandidates(0)[0]',
  ),
  one(
    'a run is told ended before QEMU is stopped',
    'K1',
    'machines/incarnation/incarnation-machine.ts',
    "stopping: {\n      description: 'The guest",
    "stopping: {\n      always: 'ended',\n      description: 'The guest",
  ),
  one(
    'a VM that is deleted lets go before its run has ended',
    'K13',
    'machines/vm/vm-machine.ts',
    "'noteProgress', 'claimProposed'],\n      always: { guard: 'leaves', target: 'stopping' }",
    "'noteProgress', 'claimProposed'],\n      always: { guard: 'leaves', target: 'releasing' }",
  ),
  one(
    'a volume that is gone answers nobody',
    'K13',
    'machines/volume/volume-protocol.ts',
    'startedBy: [volumeLocate, volumeAttach]',
    'startedBy: []',
  ),
  one(
    'the end of a machine is not heard',
    'K13',
    'machines/incarnation/incarnation-machine.ts',
    "'qemu.watch.done': { target: 'cleaning', actions: 'noteEnd' }",
    "'qemu.watch.done': {}",
  ),
  {
    name: 'silence is taken for the proof that a host is off',
    promise: 'K1',
    scenario: 'cloud',
    patches: [
      {
        file: 'runtime/directory/ownership-map.ts',
        find: '(hostOfShard(shard) ?? node) !== node',
        put: 'hostOfShard(shard) !== undefined',
      },
      {
        file: 'runtime/directory/owned-shards.ts',
        find: "    if (host !== undefined && (node === '' || node === host)) return false;\n",
        put: '',
      },
    ],
  },
  one(
    'counterparts of a fenced host that wait for nothing are not told',
    'K13',
    'actors/photon/fenced-host.ts',
    'items.filter(listens).map(tell)',
    'items.filter(() => false).map(tell)',
  ),
];

/**
 * Mutants of charts and actors. As in mutant-list.ts, but the scenario of the cloud must catch them: by what an
 * observer of the hosts sees (K1, K3, K4, K10), or by a cloud that does not settle (K13).
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
    'a held address is allocated again',
    'K3',
    'machines/network/network-addresses.ts',
    '  if (addresses.hasBit(block.used, offsetOf(at))) return false;\n',
    '',
  ),
  one(
    'two VPCs get the same VNI',
    'K10',
    'machines/cluster/cluster-messages.ts',
    "vniCandidates(context.nextVni).find((vni) => row(event, 'vni-owner', String(vni)) === undefined)",
    'vniCandidates(0)[0]',
  ),
  one(
    'an incarnation counts as ended before QEMU is stopped',
    'K1',
    'machines/incarnation/incarnation-machine.ts',
    "stopping: {\n      description: 'The guest",
    "stopping: {\n      always: 'ended',\n      description: 'The guest",
  ),
  one(
    'a guest that stands still on a full disk is never resumed',
    'K13',
    'machines/incarnation/incarnation-machine.ts',
    "'qemu.await-disks.done': { target: 'running' }",
    "'qemu.await-disks.done': {}",
  ),
  one(
    'a deleted VM releases its resources before its incarnation has ended',
    'K13',
    'machines/vm/vm-machine.ts',
    "'Running'), 'noteProgress', 'claimProposed'],\n      always: { guard: 'leaves', target: 'stopping' }",
    "'Running'), 'noteProgress', 'claimProposed'],\n      always: { guard: 'leaves', target: 'releasing' }",
  ),
  one(
    'a deleted volume does not answer',
    'K13',
    'machines/volume/volume-protocol.ts',
    'startedBy: [volumeLocate, volumeAttach]',
    'startedBy: []',
  ),
  one(
    'the end of a QEMU process is ignored',
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
    'per-host counterparts on a fenced host are not told that it is gone',
    'K13',
    'actors/photon/fenced-host.ts',
    'items.filter(accepts).map(tell)',
    'items.filter(() => false).map(tell)',
  ),
];

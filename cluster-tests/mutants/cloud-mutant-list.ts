/**
 * Mutants of charts and actors. As in mutant-list.ts, but the scenario of the cloud must catch them: by what an
 * observer of the hosts sees (K1, K3, K4, K10, K20, K24, K29), by what is recorded (K17, K28), by what becomes of a
 * flow (K23), or by a cloud that does not settle (K13).
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
    "'qemu.await-disks.done': [changed, { target: 'running' }]",
    "'qemu.await-disks.done': {}",
  ),
  one(
    'a guest gets a NIC before its tap is wired',
    'K20',
    'machines/incarnation/incarnation-plugs.ts',
    '{ nics: nics.filter((nic) => !isFailed(nic)), wired }',
    '{ nics: nics.filter((nic) => !isFailed(nic)), wired: nics.map(({ binding }) => binding) }',
  ),
  one(
    'a deleted VM releases its resources before its incarnation has ended',
    'K13',
    'machines/vm/vm-transitions.ts',
    "[{ guard: 'leaves', target: 'stopping' }, lostInRun, {",
    "[{ guard: 'leaves', target: 'releasing' }, lostInRun, {",
  ),
  one(
    'a deleted volume does not answer',
    'K13',
    'machines/volume/volume-protocol.ts',
    'startedBy: [volumeLocate, volumeAttach, snapshotBegin]',
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
  one(
    'a released address does not rest',
    'K17',
    'machines/network/network-addresses.ts',
    'rest === undefined || rest.until <= now || rest.port === port',
    'rest === undefined || rest.until <= now + restMs || rest.port === port',
  ),
  one(
    'a port that stands by is wired with its route',
    'K3',
    'machines/port/port-standby.ts',
    'bindingEnsure({ spec: { ...spec, activeHost }, port: context.id',
    'bindingEnsure({ spec, port: context.id',
  ),
  one(
    'hosts are not told that a port has moved',
    'K13',
    'machines/vpc/vpc-sections.ts',
    'return before?.host === after.host ? undefined : withElement(',
    'return before !== undefined ? undefined : withElement(',
  ),
  one(
    'a port is moved without its address pairs',
    'K13',
    'machines/port/port-messages.ts',
    '      ...pairs.map((address) => send(vpc, portLocated({ ...at(address), groups, pair: true }))),\n',
    '',
  ),
  one(
    'a pair is allowed although its address is held',
    'K17',
    'machines/network/network-pairs.ts',
    "if ('error' in got) return { error: got.error, path: `spec.addressPairs.${at}.cidr` };",
    "if ('error' in got) continue;",
  ),
  one(
    'a VM starts elsewhere before its silent host is fenced off',
    'K3',
    'machines/port/port-loss.ts',
    '=> unfenced(context).length === 0;',
    '=> unfenced(context).length >= 0;',
  ),
  one(
    'a guest that stands still is not waited for while disks change',
    'K13',
    'machines/incarnation/incarnation-machine.ts',
    "'qemu.await-disks.done': [changed, { target: 'running' }],",
    "'incarnation.plug': plug, 'qemu.await-disks.done': [changed, { target: 'running' }],",
  ),
  one(
    'a detached volume is free before QEMU has closed it',
    'K29',
    'machines/vm/vm-plugs.ts',
    "context.plugs[id]?.phase === 'removing' && !of.has(id));",
    "context.plugs[id]?.phase === 'removing');",
  ),
  one(
    'a deployment adopts what another one manages',
    'K28',
    'machines/deployment/deployment-planner.ts',
    'if (managedBy !== null && deployments.has(managedBy))',
    'if (managedBy !== null && !adopt && deployments.has(managedBy))',
  ),
  one(
    'a deployment prunes what somebody else has made anew',
    'K28',
    'machines/deployment/deployment-planner.ts',
    'managedBy === input.deployment || (moved.has(id)',
    'managedBy !== id || (moved.has(id)',
  ),
  one(
    'a silent gateway host is waited for as long as a silent worker',
    'K23',
    'machines/external-network/gateway-election.ts',
    'return !isHeardAgain && now - since >= afterMs;',
    'return !isHeardAgain && now - since >= afterMs + 5_000;',
  ),
];

/** The kind `vm`: its declaration, its placement, and its restart policy. */
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import { portIds, type VmContext } from '@photoncloud/machines/vm/vm-context';
import { fieldOf, type DeviceField } from '@photoncloud/machines/vm/vm-devices';
import { noLoss } from '@photoncloud/machines/vm/vm-loss-context';
import { shownLoss } from '@photoncloud/machines/vm/vm-loss';
import { vmMachine } from '@photoncloud/machines/vm/vm-machine';
import { canMigrate } from '@photoncloud/machines/vm/vm-migration';
import { vmKind, type VmSpec } from '@photoncloud/machines/vm/vm-protocol';
import { consolePath, guestPath } from '../dataplane/contract/incarnation-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';

/** Its tenant sees how the last move went, and operators see between which hosts. */
function shownMigration(last: VmContext['lastMigration']) {
  if (last === null) return { lastMigration: null, lastMigrationHosts: null };
  const { from, to, ...lastMigration } = last;
  return { lastMigration, lastMigrationHosts: { from, to } };
}

function statusOf(context: VmContext) {
  const { wanted, paused, ports, host, runEpoch, machineType, incarnationUid, proof, runningSince, runs, tries } =
    context;
  const { awaited, proposed, runGeneration, wiring, lastEnd, crashes } = context;
  const { disks, nics, plugs } = context;
  const plugOf = (id: string) => (plugs[id] === undefined ? {} : { plug: plugs[id].phase, error: plugs[id].error });
  const withPlugs = (field: DeviceField, ids: readonly string[]): readonly string[] => [
    ...new Set([...ids, ...Object.keys(plugs).filter((id) => fieldOf(id) === field)]),
  ];
  return {
    wanted,
    paused,
    host: host?.name ?? null,
    ports,
    wiring: runningSince === null ? {} : wiring,
    volumes: withPlugs('disks', Object.keys(disks)).map((volume) => ({
      volume,
      serial: disks[volume]?.serial ?? null,
      ...plugOf(volume),
    })),
    nics: withPlugs('nics', Object.keys(nics)).map((port) => ({ port, mac: nics[port]?.mac ?? null, ...plugOf(port) })),
    runEpoch,
    runGeneration,
    machineType,
    incarnationUid,
    proof,
    runningSince,
    runs,
    lastEnd,
    crashes,
    tries,
    canMigrate: canMigrate(context),
    migration: context.migration,
    ...shownMigration(context.lastMigration),
    loss: context.loss,
    lastLoss: shownLoss(context),
    lastLossHost: context.lastLoss?.host ?? null,
    awaited: [...awaited, ...(proposed?.awaited ?? [])],
  };
}

type Stored = { readonly state: unknown; readonly context: unknown };

/** The seed, more fields of NICs and what is known of ends came with version 2: defaults, for the present run too. */
function toVersion2({ state, context }: Stored): Stored {
  const of = context as VmContext;
  const plain = { addressPairs: [], portSecurity: true, dnsName: null };
  const seeded = <Spec extends VmSpec | null>(spec: Spec): Spec =>
    spec && {
      ...spec,
      nics: spec.nics.map((nic) => ({ ...plain, ...nic })),
      seed: { userData: null, sshKeys: [], network: true },
      guestAgent: false,
      placement: { antiAffinity: null },
      hostFailurePolicy: 'none',
      hostFailureSeconds: 20,
    };
  const proposed = of.proposed && { ...of.proposed, spec: seeded(of.proposed.spec) };
  const unplugged = { plugs: {}, plugRevision: 0 };
  // A run that is being made has them in this order.
  const nics = portIds(of, of.runSpec).flatMap((port, slot) => {
    const nic = of.nics[port];
    return nic === undefined ? [] : [[port, { ...nic, slot }] as const];
  });
  const known = { spec: seeded(of.spec), runSpec: seeded(of.runSpec), proposed, nics: Object.fromEntries(nics) };
  return {
    state,
    context: { ...of, ...known, paused: false, lastEnd: null, crashes: 0, leaving: null, ...unplugged, ...noLoss },
  };
}

export const vmDefinition = defineActor(vmKind, {
  chartVersion: 2,
  machine: vmMachine,
  upgrades: { 1: toVersion2 },
  status: statusOf,
  output: (id, { lastRun }: VmContext) => {
    const { tenant, name } = partsOfId(id);
    return lastRun === null ? null : { node: lastRun.host, path: `${consolePath}${tenant}/${name}` };
  },
  facts: (id, { host, runSpec, runningSince }: VmContext) => {
    const { tenant, name } = partsOfId(id);
    const hasAgent = runSpec?.guestAgent === true && runningSince !== null && host !== null;
    return hasAgent ? { node: host.name, path: `${guestPath}${tenant}/${name}` } : null;
  },
  operatorOnly: ['host', 'proof', 'wiring', 'migration', 'lastMigrationHosts', 'loss', 'lastLossHost'],
  ignored: [
    'port.ready',
    'port.refused',
    'port.tapped',
    'port.unbound',
    'port.failed',
    'port.delayed',
    'port.gone',
    'volume.attached',
    'volume.located',
    'volume.refused',
    'image.provided',
    'image.refused',
    'incarnation.running',
    'incarnation.paused',
    'incarnation.plugged',
    'incarnation.stalled',
    'incarnation.ended',
    'migration.begun',
    'migration.busy',
    'migration.ended',
    'loss.granted',
    'loss.refused',
    'placed',
    'place.refused',
    'place.changed',
    'quota.granted',
  ],
});

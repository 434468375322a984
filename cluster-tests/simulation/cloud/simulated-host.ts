/**
 * The host operations of the simulated dataplane: facts about the host, the inventory of our objects on it, and the
 * sweep of objects without an owner, in the order and by the rules of actors/dataplane/host: incarnations, taps,
 * segments, copies; volumes are never swept. Called by simulated-dataplane.ts.
 */
import type { HostDataplane, ResidueItem } from '@photoncloud/actors/dataplane/contract/host-contract';
import { segmentInUse } from '@photoncloud/actors/dataplane/segment/segment-errors';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { HostInventory } from '@photoncloud/machines/values/inventory-schema';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';
import { dropCopyOwners } from './simulated-storage.ts';
import { dropStrayTap } from './simulated-taps.ts';

const underlayMtu = 1500;
/** Underlay address. The kernel's index is the simulation's own; the cluster chart assigns host indexes separately. */
const underlayOf = (index: number): string => `192.0.2.${index}`;

const diskMib = 1 << 20;
const diskOf = ({ diskFull }: SimulatedKernel) => ({ diskMib, diskFreeMib: diskFull ? 0 : diskMib });

export function simulatedHost(site: SimulatedSite): HostDataplane {
  const { kernel, options } = site;
  return {
    observeHost: () =>
      site.perform('observeHost', () => ({
        name: kernel.host,
        underlay: underlayOf(kernel.index),
        underlayMtu,
        cpus: 8,
        memoryMib: options.memoryMib,
        ...diskOf(kernel),
        qemuVersion: '7.2.0',
        kvm: false,
        allowedRoots: options.allowedRoots,
        storage: options.storage,
      })),
    readDisk: () => Promise.resolve(diskOf(kernel)),
    sweep: (known, call) =>
      site.locks.hold('sweep', async () => {
        const candidates = new Set(residueOf(kernel).map(nameOf));
        const owners = new Set(await known.owners());
        call.signal.throwIfAborted();
        return site.perform('sweep', () => sweep(kernel, candidates, owners, new Set(known.kept)));
      }),
    readDescriptors: () => Promise.resolve({ used: 100, limit: 1_000, reserved: 64 }),
    readInventory: () => site.perform('readInventory', () => inventoryOf(kernel)),
    residue: () => Promise.resolve(residueOf(kernel)),
  };
}

const nameOf = ({ what, name }: ResidueItem): string => `${what} ${name}`;

function residueOf(kernel: SimulatedKernel): ResidueItem[] {
  return [
    ...[...kernel.segments.values()].map(({ namespace, owner }) => ({ what: 'namespace', name: namespace, owner })),
    ...[...kernel.taps.values()].map(({ name, owner }) => ({ what: 'interface', name, owner })),
    ...[...kernel.incarnations.values()].map(({ id, owner }) => ({ what: 'folder', name: id, owner })),
    ...[...kernel.copies].map(([key, { owners }]) => ({ what: 'file', name: key, owner: owners[0] ?? null })),
    ...[...kernel.exports].map(([id, { owner }]) => ({ what: 'folder', name: `exports/${id}`, owner })),
    ...[...kernel.replicas].map(([uid, { owner }]) => ({ what: 'file', name: `volumes/${uid}`, owner })),
  ] as ResidueItem[];
}

function sweep(
  kernel: SimulatedKernel,
  candidates: ReadonlySet<string>,
  owners: ReadonlySet<string>,
  protectedNames: ReadonlySet<string>,
) {
  const removed: ResidueItem[] = [];
  const failed: { item: ResidueItem; reason: string }[] = [];
  let kept = 0;
  const take = (item: ResidueItem, work: () => void): void => {
    if (
      protectedNames.has(item.name) ||
      !candidates.has(nameOf(item)) ||
      (item.owner !== null && owners.has(item.owner.actor))
    ) {
      kept += 1;
      return;
    }
    try {
      work();
      removed.push(item);
    } catch (error) {
      if (!(error instanceof PhotonError)) throw error;
      failed.push({ item, reason: error.message });
    }
  };
  for (const incarnation of kernel.incarnations.values())
    take({ what: 'folder', name: incarnation.id, owner: incarnation.owner }, () => {
      kernel.rest(incarnation, 'dead', { reason: 'host_quit', detail: 'Swept.' });
      kernel.incarnations.delete(incarnation.id);
    });
  for (const [id, { owner }] of kernel.exports)
    take({ what: 'folder', name: `exports/${id}`, owner }, () => kernel.cut(id));
  for (const tap of kernel.taps.values())
    take({ what: 'interface', name: tap.name, owner: tap.owner }, () => dropStrayTap(kernel, tap));
  for (const { vpc, namespace, owner } of kernel.segments.values())
    take({ what: 'namespace', name: namespace, owner }, () => {
      const port = [...kernel.taps.values()].find((tap) => tap.vpc === vpc);
      if (port !== undefined) throw segmentInUse(vpc, port.name);
      kernel.deleteSegment(vpc);
    });
  for (const [key, copy] of kernel.copies) {
    const owner = copy.owners.find((one) => owners.has(one.actor)) ?? copy.owners[0] ?? null;
    take({ what: 'file', name: key, owner }, () => void dropCopyOwners(kernel, key, (one) => !owners.has(one.actor)));
  }
  for (const [actor, { owner }] of kernel.incoming)
    take({ what: 'file', name: `incoming/${actor}`, owner }, () => void kernel.incoming.delete(actor));
  return { removed, kept: kept + kernel.replicas.size, failed };
}

function inventoryOf(kernel: SimulatedKernel): HostInventory {
  const declaredIdOf = (actor: string, kind: string): string => {
    const { tenant, name } = partsOfId(actor);
    return idOf(kind, tenant, name);
  };
  return {
    runs: [...kernel.incarnations.values()]
      .filter(({ status }) => status !== 'dead')
      .map(({ owner }) => ({
        vm: declaredIdOf(owner.actor, 'vm'),
        incarnationUid: owner.uid,
        runEpoch: owner.runEpoch,
      })),
    ports: [...kernel.taps.values()].flatMap(({ wiring }) =>
      wiring === null ? [] : [{ vpc: wiring.vpc, port: wiring.port, address: wiring.address, mac: wiring.mac }],
    ),
    vnis: [...kernel.segments.values()].map(({ vpc, vni }) => ({ vpc, vni })),
  };
}

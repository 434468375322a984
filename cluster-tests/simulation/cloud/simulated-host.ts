/**
 * The host half of the simulated dataplane: what the host is, what of ours is on it, and sweeping what nobody owns, in
 * the order and by the rules of actors/dataplane/host: incarnations, taps, segments, copies; volumes never.
 * Called by simulated-dataplane.ts; the liveness checkers use `residueOf` as their proof that nothing was left.
 */
import type { HostDataplane, ResidueItem } from '@photoncloud/actors/dataplane/contract/host-contract';
import { segmentInUse } from '@photoncloud/actors/dataplane/segment/segment-errors';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { HostInventory } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';
import { dropCopyOwners } from './simulated-storage.ts';
import { dropStrayTap } from './simulated-taps.ts';

const underlayMtu = 1500;
/** On the underlay; host indexes are given by the cluster, so this is one of the simulation's own. */
export const underlayOf = (index: number): string => `192.0.2.${index}`;

export function simulatedHost(site: SimulatedSite): HostDataplane {
  const { kernel, options } = site;
  return {
    observeHost: () =>
      site.befall('observeHost', () => ({
        name: kernel.host,
        underlay: underlayOf(kernel.index),
        underlayMtu,
        cpus: 8,
        memoryMib: options.memoryMib,
        qemuVersion: '7.2.0',
        kvm: false,
        allowedRoots: options.allowedRoots,
      })),
    sweep: (known, call) =>
      site.locks.hold('sweep', async () => {
        const candidates = new Set(residueOf(kernel).map(nameOf));
        const owners = new Set(await known.owners());
        call.signal.throwIfAborted();
        return site.befall('sweep', () => sweep(kernel, candidates, owners, new Set(known.kept)));
      }),
    readInventory: () => site.befall('readInventory', () => findsOf(kernel)),
    residue: () => Promise.resolve(residueOf(kernel)),
  };
}

const nameOf = ({ what, name }: ResidueItem): string => `${what} ${name}`;

export function residueOf(kernel: SimulatedKernel): ResidueItem[] {
  return [
    ...[...kernel.segments.values()].map(({ namespace, owner }) => ({ what: 'namespace', name: namespace, owner })),
    ...[...kernel.taps.values()].map(({ name, owner }) => ({ what: 'interface', name, owner })),
    ...[...kernel.incarnations.values()].map(({ id, owner }) => ({ what: 'folder', name: id, owner })),
    ...[...kernel.copies].map(([key, { owners }]) => ({ what: 'file', name: key, owner: owners[0] ?? null })),
    ...[...kernel.replicas].map(([uid, { owner }]) => ({ what: 'file', name: `volumes/${uid}`, owner })),
  ] as ResidueItem[];
}

function sweep(
  kernel: SimulatedKernel,
  candidates: ReadonlySet<string>,
  owners: ReadonlySet<string>,
  keeps: ReadonlySet<string>,
) {
  const removed: ResidueItem[] = [];
  const failed: { item: ResidueItem; reason: string }[] = [];
  let kept = 0;
  const take = (item: ResidueItem, work: () => void): void => {
    if (
      keeps.has(item.name) ||
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
  for (const tap of kernel.taps.values())
    take({ what: 'interface', name: tap.name, owner: tap.owner }, () => dropStrayTap(kernel, tap));
  for (const { vpc, namespace, owner } of kernel.segments.values())
    take({ what: 'namespace', name: namespace, owner }, () => {
      const port = [...kernel.taps.values()].find((tap) => tap.vpc === vpc);
      if (port !== undefined) throw segmentInUse(vpc, port.name);
      kernel.deleteChunk(vpc);
    });
  for (const [key, copy] of kernel.copies) {
    const owner = copy.owners.find((one) => owners.has(one.actor)) ?? copy.owners[0] ?? null;
    take({ what: 'file', name: key, owner }, () => void dropCopyOwners(kernel, key, (one) => !owners.has(one.actor)));
  }
  return { removed, kept: kept + kernel.replicas.size, failed };
}

function findsOf(kernel: SimulatedKernel): HostInventory {
  const counterpart = (actor: string, kind: string): string => {
    const { tenant, name } = partsOfId(actor);
    return idOf(kind, tenant, name);
  };
  return {
    runs: [...kernel.incarnations.values()]
      .filter(({ status }) => status !== 'dead')
      .map(({ owner }) => ({
        vm: counterpart(owner.actor, 'vm'),
        incarnationUid: owner.uid,
        runEpoch: owner.runEpoch,
      })),
    ports: [...kernel.taps.values()].flatMap(({ wiring }) =>
      wiring === null ? [] : [{ vpc: wiring.vpc, port: wiring.port, address: wiring.address, mac: wiring.mac }],
    ),
    vnis: [...kernel.segments.values()].map(({ vpc, vni }) => ({ vpc, vni })),
  };
}

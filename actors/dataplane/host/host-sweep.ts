/**
 * Removes objects that no actor of this host owns any more: left by crashes, by a lost journal, or by a host that was
 * disconnected. Order: QEMU processes (they have taps and disks open), exports, processes that check backends, taps,
 * segments, gateways, image copies, unfinished files. Volumes are never swept, because one wrong list of owners must
 * not destroy data; the residue shows them.
 * Called by host-operations.ts. Promise: only objects listed before the owners were requested are swept (an object is
 * made only after its owner was committed), and each is checked again under its own lock before it is removed.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { ResidueItem, SweepResult } from '../contract/host-contract.ts';
import { command } from '../kernel-command.ts';
import { dropEmptyRunFolders } from '../dataplane-site.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { cutExport } from '../export/export-daemon.ts';
import { listExports } from '../export/export-folder.ts';
import { listRuns, removeRun } from '../hypervisor/qemu-folder.ts';
import { findIncarnation } from '../hypervisor/qemu-session.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { killIncarnation } from '../hypervisor/qemu-stop.ts';
import { quitIncarnation } from '../hypervisor/qemu-watch.ts';
import { findIntakes } from '../image/copy-intake.ts';
import { dropOwners } from '../image/copy-owners.ts';
import { imageFormats } from '../image/copy-paths.ts';
import { readNamespace, readNamespaceOwner } from '../overlay/overlay-namespace.ts';
import { ownerOfAlias } from '../owner-alias.ts';
import { awaitGone, findProcesses, signalProcess } from '../process-lookup.ts';
import { dropNamespace } from '../segment/segment-removal.ts';
import { proberMark } from '../service-check/prober.ts';
import { isBeingWritten, listFolder } from '../storage-files.ts';
import { dropStrayTap } from '../tap/tap-removal.ts';
import { removeGatewayNamespace } from '../router/gateway-namespace.ts';
import { listResidue, ownersOfImage, readGatewayOwner } from './host-residue.ts';

class Sweep {
  readonly site: DataplaneSite;
  readonly #known: ReadonlySet<string>;
  readonly removed: ResidueItem[] = [];
  readonly failed: { item: ResidueItem; reason: string }[] = [];
  kept = 0;

  readonly #candidates: ReadonlySet<string>;

  readonly #keeps: ReadonlySet<string>;

  constructor(
    site: DataplaneSite,
    candidates: readonly ResidueItem[],
    owners: readonly string[],
    keeps: readonly string[],
  ) {
    this.site = site;
    this.#keeps = new Set(keeps);
    this.#candidates = new Set(candidates.map((item) => item.name));
    this.#known = new Set(owners);
  }

  knows(owner: OwnerToken): boolean {
    return this.#known.has(owner.actor);
  }

  keeps(item: ResidueItem): boolean {
    return this.#keeps.has(item.name);
  }

  /** Keeps an item whose owner is known, else removes it by `work`; a failure is noted and the sweep goes on. */
  async take(item: ResidueItem, work: () => Promise<unknown>, isKept = this.keeps(item)): Promise<void> {
    if (isKept || !this.#candidates.has(item.name) || (item.owner !== null && this.knows(item.owner))) {
      this.kept += 1;
      return;
    }
    try {
      await work();
      this.removed.push(item);
    } catch (error) {
      if (!(error instanceof PhotonError)) throw error;
      this.failed.push({ item, reason: error.message });
    }
  }
}

export async function sweepHost(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  known: { readonly owners: () => Promise<readonly string[]>; readonly kept?: readonly string[] },
  signal: AbortSignal,
): Promise<SweepResult> {
  const candidates = await listResidue(site);
  const sweep = new Sweep(site, candidates, await known.owners(), known.kept ?? []);
  const steps = [
    () => sweepIncarnations(sweep, sessions),
    () => sweepExports(sweep),
    () => sweepProbers(sweep),
    () => sweepHostTaps(sweep),
    () => sweepNamespaces(sweep),
    () => sweepGateways(sweep),
    () => sweepFiles(sweep),
  ];
  for (const step of steps) {
    signal.throwIfAborted();
    await step();
  }
  await dropEmptyRunFolders(site);
  return { removed: sweep.removed, kept: sweep.kept, failed: sweep.failed };
}

async function sweepIncarnations(sweep: Sweep, sessions: IncarnationSessions): Promise<void> {
  for (const { paths, owner } of await listRuns(sweep.site)) {
    await sweep.site.locks.hold(`incarnation ${paths.id}`, async () => {
      const item: ResidueItem = { what: 'folder', name: paths.runFolder, owner };
      const isKept = sweep.keeps(item) && (await findIncarnation(paths, true)) !== null;
      const work = async (): Promise<void> => {
        const identity = await findIncarnation(paths, true);
        if (identity !== null && !(await quitIncarnation(sessions, paths, identity)))
          await killIncarnation(paths, identity);
        await removeRun(paths);
      };
      await sweep.take(item, work, isKept);
    });
  }
}

async function sweepExports(sweep: Sweep): Promise<void> {
  for (const { paths, owner } of await listExports(sweep.site)) {
    await sweep.site.locks.hold(`volume ${paths.volumeUid}`, () =>
      sweep.take({ what: 'folder', name: paths.folder, owner }, () => cutExport(paths)),
    );
  }
}

/** Of a worker that has ended: they end with it, unless something holds them. */
async function sweepProbers(sweep: Sweep): Promise<void> {
  const { folders, probers } = sweep.site;
  const mark = proberMark(folders.run, '');
  for (const found of await findProcesses((words) => words.some((word) => word.startsWith(mark)))) {
    if (probers.pids.includes(found.pid)) continue;
    await sweep.take({ what: 'process', name: String(found.pid), owner: null }, async () => {
      await signalProcess(found, 'SIGKILL');
      await awaitGone(found, 1000);
    });
  }
}

async function sweepHostTaps(sweep: Sweep): Promise<void> {
  const { links, names, options, locks } = sweep.site;
  for (const { ifname } of (await links.host.links()).filter((one) => names.isTap(one.ifname))) {
    await locks.hold(`tap ${ifname}`, async () => {
      const device = await links.host.link(ifname);
      if (device === null) return;
      const owner = ownerOfAlias(options.cluster, device.ifalias);
      await sweep.take({ what: 'interface', name: ifname, owner }, () =>
        links.host.ip(`sweeping ${ifname}`, [command`link delete ${ifname}`]),
      );
    });
  }
}

async function sweepNamespaces(sweep: Sweep): Promise<void> {
  const { site } = sweep;
  for (const namespace of (await listFolder('/run/netns')).filter((one) => site.names.isNamespace(one))) {
    await site.locks.hold(`segment ${namespace}`, async () => {
      const present = (await readNamespace(namespace)) === 'present';
      if (present) await sweepTapsIn(sweep, namespace);
      const owner = present ? await readNamespaceOwner(site.links.of(namespace), site.options.cluster) : null;
      await sweep.take({ what: 'namespace', name: namespace, owner }, () =>
        dropNamespace(site, namespace, namespace, null),
      );
    });
  }
  // Folders of namespaces that no longer exist; a dnsmasq may still run for one of them.
  for (const namespace of (await listFolder(site.folders.dhcp)).filter((one) => site.names.isNamespace(one))) {
    await site.locks.hold(`segment ${namespace}`, async () => {
      if ((await readNamespace(namespace)) === 'present') return;
      await sweep.take({ what: 'folder', name: path.join(site.folders.dhcp, namespace), owner: null }, () =>
        dropNamespace(site, namespace, namespace, null),
      );
    });
  }
}

/** Those whose VPC stands belong to it, and go with it. */
async function sweepGateways(sweep: Sweep): Promise<void> {
  const { site } = sweep;
  for (const name of (await listFolder('/run/netns')).filter((one) => site.names.isGateway(one))) {
    await site.locks.hold(`segment ${site.names.besideOf(name)}`, async () => {
      if ((await readNamespace(name)) === 'absent') return;
      const owner = await readGatewayOwner(site, name);
      await sweep.take({ what: 'namespace', name, owner }, () => removeGatewayNamespace(site, name));
    });
  }
}

async function sweepTapsIn(sweep: Sweep, namespace: string): Promise<void> {
  const { links, names, options, locks } = sweep.site;
  const link = links.of(namespace);
  for (const { ifname } of (await link.links()).filter((one) => names.isTap(one.ifname))) {
    await locks.hold(`tap ${ifname}`, async () => {
      const device = await link.link(ifname);
      if (device === null) return;
      const owner = ownerOfAlias(options.cluster, device.ifalias);
      await sweep.take({ what: 'interface', name: `${namespace}/${ifname}`, owner }, () =>
        dropStrayTap(sweep.site, namespace, device),
      );
    });
  }
}

async function sweepFiles(sweep: Sweep): Promise<void> {
  const { site } = sweep;
  for (const name of (await listFolder(site.folders.images)).filter(
    (one) => !one.startsWith('.') && !one.endsWith('.owners'),
  )) {
    const [sha256 = '', ending] = name.split('.');
    const format = imageFormats.find((one) => one === ending);
    const owners = await ownersOfImage(site, name);
    const owner = owners.find((one) => sweep.knows(one)) ?? owners[0] ?? null;
    if (format === undefined) continue;
    await sweep.take({ what: 'file', name: path.join('images', name), owner }, () =>
      dropOwners(site, sha256, format, (one) => !sweep.knows(one)),
    );
  }
  for (const { name, owner, remove } of await findIntakes(site))
    await sweep.take({ what: 'file', name, owner }, remove);
  for (const folder of [site.folders.images, site.folders.volumes]) {
    for (const name of (await listFolder(folder)).filter((one) => one.startsWith('.'))) {
      const file = path.join(folder, name);
      if (isBeingWritten(file)) continue;
      await sweep.take({ what: 'file', name: path.relative(site.options.folder, file), owner: null }, () =>
        rm(file, { force: true }),
      );
    }
  }
  sweep.kept += (await listFolder(site.folders.volumes)).filter(
    (name) => !name.startsWith('.') && !/\.(owner|floor|exports|restored)$/.test(name),
  ).length;
}

/**
 * A port's tap: made in the host's namespace, persistent and down, for QEMU to open; found again in either namespace.
 * Called by network-operations.ts; tap-wiring.ts moves and wires it. Promise: a tap that a process has open is never
 * replaced. A tap that no process has open is deleted and made again, which is cheaper than moving it back and leaves
 * no old settings. A tap of a later run is not changed.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import type { TapCreated } from '../contract/network-contract.ts';
import { command } from '../kernel-command.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { requireDescriptors } from '../descriptor-reserve.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { aliasOf, ownerOfAlias, refuseOlder, sameOwner } from '../owner-alias.ts';
import { inBatches } from '../process-lookup.ts';
import { checkTap } from '../wiring-checks.ts';
import { nameTaken, tapBusy, tapErrors } from './tap-errors.ts';

export interface FoundTap {
  readonly place: 'host' | 'segment';
  readonly link: NamespaceLink;
  readonly device: KernelLink;
}

/** Looks in the VPC's namespace first, where the tap usually is. */
export async function findTap(site: DataplaneSite, vpc: string, tap: string): Promise<FoundTap | null> {
  const namespace = site.names.namespaceOf(vpc);
  if ((await readNamespace(namespace)) === 'present') {
    const link = site.links.of(namespace);
    const device = await link.link(tap);
    if (device !== null) return { place: 'segment', link, device };
  }
  const device = await site.links.host.link(tap);
  return device === null ? null : { place: 'host', link: site.links.host, device };
}

/** Whether a process has the tap open. The carrier tells this while the tap is up; else the processes are searched. */
export async function isHeld(found: FoundTap): Promise<boolean> {
  if (found.device.flags.includes('UP')) return found.device.flags.includes('LOWER_UP');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const held = await inBatches(pids, (pid) => holdsTap(pid, found.device.ifname));
  return held.includes(true);
}

async function holdsTap(pid: string, tap: string): Promise<boolean> {
  try {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`)) !== '/dev/net/tun') continue;
      if (new RegExp(`^iff:\\s*${tap}$`, 'm').test(await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))) return true;
    }
    return false;
  } catch (error) {
    // The process ended or closed the descriptor meanwhile: it no longer has the tap open.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errnoOf(error))) return false;
    throw fileError(`searching for a process that has ${tap} open`, error);
  }
}

export async function makeTap(site: DataplaneSite, spec: TapSpec): Promise<TapCreated> {
  checkTap(spec);
  const { cluster } = site.options;
  const tap = site.names.tapOf(spec.owner);
  const what = `creating tap ${tap} for ${spec.owner.actor}`;
  const found = await findTap(site, spec.vpc, tap);
  if (found !== null) {
    const owner = ownerOfAlias(cluster, found.device.ifalias);
    // A crash between creating and marking leaves a tap of our name without a mark; QEMU cannot have opened it yet.
    if (owner === null && (found.place === 'segment' || (await isHeld(found)))) throw nameTaken(tap);
    refuseOlder(`tap ${tap}`, spec.owner, owner);
    const ours = owner !== null && sameOwner(owner, spec.owner);
    if (ours && found.place === 'host' && found.device.mtu === spec.mtu)
      return { tap, ifindex: found.device.ifindex, place: 'host' };
    const held = await isHeld(found);
    if (ours && held) return { tap, ifindex: found.device.ifindex, place: found.place };
    if (held) throw tapBusy(tap);
    await deleteTap(found);
  }
  await requireDescriptors(`The tap of ${spec.port}`);
  const { host } = site.links;
  await host.ip(what, [command`tuntap add dev ${tap} mode tap`], tapErrors);
  host.appeared(tap);
  await host.ip(what, [command`link set ${tap} mtu ${spec.mtu} alias ${aliasOf(cluster, spec.owner)}`], tapErrors);
  const device = await host.link(tap);
  if (device === null) throw tapBusy(tap);
  return { tap, ifindex: device.ifindex, place: 'host' };
}

export async function deleteTap(found: FoundTap): Promise<void> {
  await found.link.ip(`removing tap ${found.device.ifname}`, [command`link delete ${found.device.ifname}`], tapErrors);
}

/**
 * Observes this host: underlay address and MTU, CPUs, memory and disk, QEMU and KVM. Only reads. Called by
 * host-operations.ts. Promise: the MTU is that of the interface that has the underlay address.
 */
import { statfs } from 'node:fs/promises';
import os from 'node:os';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { HostObservation } from '../contract/host-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { canUseKvm } from '../hypervisor/qemu-start.ts';
import { fileError } from '../kernel-errors.ts';
import { runProgram } from '../program.ts';

export async function observe(site: DataplaneSite): Promise<HostObservation> {
  const [underlay, qemuVersion, kvm, disk] = await Promise.all([
    observeUnderlay(site),
    site.options.guests === false ? null : observeQemu(site),
    canUseKvm(),
    readDisk(site),
  ]);
  return {
    name: site.options.host,
    underlay: underlay.address,
    underlayMtu: underlay.mtu,
    cpus: os.availableParallelism(),
    memoryMib: Math.floor(os.totalmem() / 2 ** 20),
    ...disk,
    qemuVersion,
    kvm,
    allowedRoots: site.options.allowedRoots,
    storage: site.options.storage,
  };
}

/** @throws fault by errno */
export async function readDisk(site: DataplaneSite): Promise<Pick<HostObservation, 'diskMib' | 'diskFreeMib'>> {
  const { folder } = site.options;
  try {
    const { blocks, bavail, bsize } = await statfs(folder);
    const mib = (count: number): number => Math.floor((count * bsize) / 2 ** 20);
    return { diskMib: mib(blocks), diskFreeMib: mib(bavail) };
  } catch (error) {
    throw fileError(`reading the disk of ${folder}`, error);
  }
}

/** @throws defeat `underlay_missing` */
export async function observeUnderlay(site: DataplaneSite): Promise<{ address: string; mtu: number }> {
  const wanted = site.options.underlay;
  const outward = wanted === null ? (await site.links.host.routesTo('default'))[0]?.dev : undefined;
  for (const [name, addresses] of Object.entries(os.networkInterfaces())) {
    const own = (addresses ?? []).filter((one) => one.family === 'IPv4').map((one) => one.address);
    const address = wanted === null ? (name === outward ? own[0] : undefined) : own.find((one) => one === wanted);
    const link = address === undefined ? null : await site.links.host.link(name);
    if (address !== undefined && link !== null) return { address, mtu: link.mtu };
  }
  throw new PhotonError(
    'defeat',
    'underlay_missing',
    wanted === null
      ? "This host has no default route to take its underlay address from; name it in the worker's configuration."
      : `No interface of this host has the underlay address ${wanted}; correct the worker's configuration.`,
  );
}

/** Null when QEMU is missing or prints no version. */
async function observeQemu(site: DataplaneSite): Promise<string | null> {
  const { binary } = site.options.qemu;
  try {
    const { stdout } = await runProgram({
      program: binary,
      args: ['--version'],
      what: 'asking QEMU for its version',
    });
    return /version (\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? null;
  } catch (error) {
    if (error instanceof PhotonError && error.record.group !== 'unknown') return null;
    throw error;
  }
}

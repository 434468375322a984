/**
 * Observes this host: underlay address and MTU, CPUs and memory, QEMU and KVM. Only reads. Called by
 * host-operations.ts. Promise: the MTU is that of the interface that has the underlay address.
 */
import os from 'node:os';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { HostObservation } from '../contract/host-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { canUseKvm } from '../hypervisor/qemu-start.ts';
import { runProgram } from '../program.ts';

export async function observe(site: DataplaneSite): Promise<HostObservation> {
  const [underlay, qemuVersion, kvm] = await Promise.all([observeUnderlay(site), observeQemu(site), canUseKvm()]);
  return {
    name: site.options.host,
    underlay: underlay.address,
    underlayMtu: underlay.mtu,
    cpus: os.availableParallelism(),
    memoryMib: Math.floor(os.totalmem() / 2 ** 20),
    qemuVersion,
    kvm,
    allowedRoots: site.options.allowedRoots,
  };
}

/** @throws defeat `underlay_missing` */
async function observeUnderlay(site: DataplaneSite): Promise<{ address: string; mtu: number }> {
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
  const { binary, libraryPath } = site.options.qemu;
  try {
    const { stdout } = await runProgram({
      program: binary,
      args: ['--version'],
      what: 'asking QEMU for its version',
      ...(libraryPath === undefined ? {} : { env: { LD_LIBRARY_PATH: libraryPath } }),
    });
    return /version (\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? null;
  } catch (error) {
    if (error instanceof PhotonError && error.record.group !== 'unknown') return null;
    throw error;
  }
}

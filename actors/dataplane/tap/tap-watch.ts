/**
 * Waits until a wired tap is gone or differs from its spec. Changes nothing. Called by network-operations.ts.
 * Every second it checks that the tap exists; one read of /proc covers all taps of a VPC. Reading the whole wiring is
 * more expensive, so each tap is read once a minute, at a time of its own within the minute: 200 ports cause at most 4
 * reads a second. The end of QEMU is noticed by the watch in hypervisor/.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import type { TapBroken, TapReading } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readInterfaces } from '../dhcp/dhcp-server.ts';
import { readWiring } from './tap-wiring.ts';

const pollEveryMs = 1_000;
const readEveryMs = 60_000;
/** Checks of several taps within this time share one read. */
const sharedWithinMs = 500;

interface SharedRead {
  readonly atMs: number;
  readonly names: Promise<ReadonlySet<string> | null>;
}

const sharedReads = new WeakMap<DataplaneSite, Map<string, SharedRead>>();

/** Null without a dnsmasq, which the watch of the segment reports. */
function interfacesIn(site: DataplaneSite, namespace: string): Promise<ReadonlySet<string> | null> {
  const ofSite = sharedReads.get(site) ?? new Map<string, SharedRead>();
  sharedReads.set(site, ofSite);
  const last = ofSite.get(namespace);
  if (last !== undefined && performance.now() - last.atMs < sharedWithinMs) return last.names;
  const read = { atMs: performance.now(), names: readInterfaces(site.folders.dhcp, namespace) };
  ofSite.set(namespace, read);
  return read.names;
}

function brokenBy(reading: TapReading, spec: TapSpec): TapBroken | undefined {
  if (reading.place !== 'segment') {
    return { reason: 'tap_gone', detail: `The tap of ${spec.port} is not in ${spec.vpc}.` };
  }
  if (reading.drift.length === 0) return undefined;
  return { reason: 'tap_drift', detail: `The tap of ${spec.port} differs: ${reading.drift.join(', ')}.` };
}

/** The offset in ms within the minute at which a tap is read, derived from its name. */
function offsetOf(tap: string): number {
  let sum = 7;
  for (let at = 0; at < tap.length; at += 1) sum = (sum * 31 + tap.charCodeAt(at)) % readEveryMs;
  return sum;
}

/** @throws the read's error, and the signal's reason when aborted */
export async function watchForTapLoss(site: DataplaneSite, spec: TapSpec, signal: AbortSignal): Promise<TapBroken> {
  const tap = site.names.tapOf(spec.owner);
  const namespace = site.names.namespaceOf(spec.vpc);
  let readAtMs = performance.now() + offsetOf(tap);
  for (;;) {
    await pause(pollEveryMs, undefined, { signal });
    const names = await interfacesIn(site, namespace);
    const due = performance.now() >= readAtMs;
    if (!due && (names === null || names.has(tap))) continue;
    const broken = brokenBy(await readWiring(site, spec), spec);
    if (broken !== undefined) return broken;
    readAtMs = performance.now() + readEveryMs;
  }
}

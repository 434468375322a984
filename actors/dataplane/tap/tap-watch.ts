/**
 * Waits until a wired tap is gone, or no longer is what its spec says. Called by network-operations.ts; changes
 * nothing. Whether it is there is looked at every second, all taps of a VPC by one read of /proc. Whether it is wired
 * right costs programs, so each tap is read wholly once a minute, spread over the minute: 200 ports are 4 reads a
 * second at most. QEMU's death is seen by its own watch.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import type { TapBroken, TapReading } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readDhcpServer } from '../dhcp/dhcp-server.ts';
import { interfacesOf } from '../process-sight.ts';
import { readWiring } from './tap-wiring.ts';

const lookEveryMs = 1_000;
const readEveryMs = 60_000;
/** Looks of other taps within this time share one read. */
const freshMs = 500;

interface Look {
  readonly atMs: number;
  readonly names: Promise<ReadonlySet<string> | null>;
}

const looks = new WeakMap<DataplaneSite, Map<string, Look>>();

/** Interfaces of a VPC's namespace, seen through its dnsmasq; null while there is none: the segment's watch says so. */
async function readInterfaces(site: DataplaneSite, namespace: string): Promise<ReadonlySet<string> | null> {
  const server = await readDhcpServer(site.folders.dhcp, namespace);
  const names = server === null ? null : await interfacesOf(server.pid);
  // An empty answer means that the process has just ended.
  return names === null || names.size === 0 ? null : names;
}

function interfacesIn(site: DataplaneSite, namespace: string): Promise<ReadonlySet<string> | null> {
  const ofSite = looks.get(site) ?? new Map<string, Look>();
  looks.set(site, ofSite);
  const last = ofSite.get(namespace);
  if (last !== undefined && performance.now() - last.atMs < freshMs) return last.names;
  const look = { atMs: performance.now(), names: readInterfaces(site, namespace) };
  ofSite.set(namespace, look);
  return look.names;
}

function brokenness(reading: TapReading, spec: TapSpec): TapBroken | undefined {
  if (reading.place !== 'segment') {
    return { reason: 'tap_gone', detail: `The tap of ${spec.port} is not in ${spec.vpc}.` };
  }
  if (reading.drift.length === 0) return undefined;
  return { reason: 'tap_drift', detail: `The tap of ${spec.port} differs: ${reading.drift.join(', ')}.` };
}

/** Where in the minute a tap has its turn; the same for the same name. */
function turnOf(tap: string): number {
  let sum = 7;
  for (let at = 0; at < tap.length; at += 1) sum = (sum * 31 + tap.charCodeAt(at)) % readEveryMs;
  return sum;
}

/** @throws the read's error, and the signal's reason when aborted */
export async function watchForTapLoss(site: DataplaneSite, spec: TapSpec, signal: AbortSignal): Promise<TapBroken> {
  const tap = site.names.tapOf(spec.owner);
  const namespace = site.names.namespaceOf(spec.vpc);
  let readAtMs = performance.now() + turnOf(tap);
  for (;;) {
    await pause(lookEveryMs, undefined, { signal });
    const names = await interfacesIn(site, namespace);
    const due = performance.now() >= readAtMs;
    if (!due && (names === null || names.has(tap))) continue;
    const broken = brokenness(await readWiring(site, spec), spec);
    if (broken !== undefined) return broken;
    readAtMs = performance.now() + readEveryMs;
  }
}

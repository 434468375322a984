/**
 * The permit of gateways. An external network with two gateway hosts must not be served by both: the one that another
 * host may be replacing has to fall silent by itself, even if nothing of it runs any more but its kernel. So its kernel
 * lets frames pass only while the permit has not run out (permit-table.ts), and this process renews it with every beat
 * that has reached the store, as long as a watch of the external network is kept (gateway-watch.ts).
 * An external network with one gateway host needs no permit.
 * Promise: the kernel has no permit that ends later than `gatewayPermitMs` after the last beat was sent. A permit that
 * has run out is not renewed; another watch begins it.
 */
import { gatewayDoubtMs, gatewayPermitMs } from '@photoncloud/machines/values/router-elements';
import type { DataplaneSite } from '../dataplane-site.ts';
import { command } from '../kernel-command.ts';
import { outsideName } from './gateway-rules.ts';
import { networkHash, readPermitTable, writePermits, writePermitTable, type PermitGateway } from './permit-table.ts';

/** A watch that keeps the permit of an external network. Times are of the monotonic clock. */
interface Lead {
  readonly hash: string;
  /** Neither the kernel's permit nor the patience of the watch lasts longer. */
  untilMs: number;
  /** Whether the kernel was given the permit. */
  isGiven: boolean;
}

interface PermitState {
  /** When the last beat that reached the store was sent. */
  beatMs: number;
  /** Hash of the external network -> the newest watch that keeps its permit. */
  readonly leads: Map<string, Lead>;
  /** Nothing of ours is in the kernel, as far as this process has read it. */
  isEmpty: boolean;
}

const states = new WeakMap<DataplaneSite, PermitState>();

function stateOf(site: DataplaneSite): PermitState {
  const state = states.get(site) ?? { beatMs: -Infinity, leads: new Map(), isEmpty: false };
  states.set(site, state);
  return state;
}

const lock = 'gateway permit';
const inTurn = <Result>(site: DataplaneSite, work: () => Promise<Result>): Promise<Result> =>
  site.locks.hold(lock, work);

const now = (): number => performance.now();

/** Puts a gateway under the permit of its external network, or null: takes it out. */
export function setPermitted(site: DataplaneSite, namespace: string, gateway: PermitGateway | null): Promise<void> {
  return inTurn(site, async () => {
    const state = stateOf(site);
    if (gateway === null && state.isEmpty) return;
    const found = await readPermitTable(site);
    const gateways = new Map(found?.gateways);
    gateways.delete(namespace);
    if (gateway !== null) {
      const { network, uplink, mac } = gateway;
      gateways.set(namespace, { hash: networkHash(network), uplink, mac });
    }
    await writePermitTable(site, found, gateways, keptNetworks(state, found?.held));
    state.isEmpty = gateways.size === 0 && state.leads.size === 0;
    // The table may be a new one.
    await give(site, [...state.leads.values()]);
  });
}

const keptNetworks = ({ leads }: PermitState, held: ReadonlySet<string> = new Set()): ReadonlySet<string> =>
  new Set([...leads.keys(), ...held]);

/** So long a renewal may take before it is made again with what is left by then. */
const lateMs = 50;

/** Gives these what is left of their time. */
async function give(site: DataplaneSite, leads: readonly Lead[]): Promise<void> {
  for (;;) {
    const beganMs = now();
    const left = leads
      .map((lead) => [lead, Math.floor(lead.untilMs - beganMs)] as const)
      .filter(([lead, ms]) => ms >= 1 || lead.isGiven);
    if (left.length === 0) return;
    await writePermits(site, new Map(left.map(([{ hash }, ms]) => [hash, Math.max(ms, 0)])));
    for (const [lead, ms] of left) lead.isGiven = ms >= 1;
    // The time counts from when the kernel took it, and that was some time since.
    if (now() - beganMs <= lateMs) return;
  }
}

/** A beat of this worker, sent so long ago, has reached the store. */
export async function beatReached(site: DataplaneSite, agoMs: number): Promise<void> {
  const state = stateOf(site);
  state.beatMs = Math.max(state.beatMs, now() - agoMs);
  if (state.leads.size === 0) return;
  await inTurn(site, async () => {
    const alive = [...state.leads.values()].filter(({ untilMs }) => untilMs > now());
    const fresh = alive.filter(({ isGiven }) => !isGiven).map(({ hash }) => hash);
    for (const lead of alive) lead.untilMs = Math.max(lead.untilMs, state.beatMs + gatewayPermitMs);
    await give(site, alive);
    if (fresh.length > 0) await announce(site, fresh);
  });
}

/** Whatever these gateways have announced before, the kernel has kept to itself. */
async function announce(site: DataplaneSite, hashes: readonly string[]): Promise<void> {
  const found = await readPermitTable(site);
  for (const [namespace, { hash, mac }] of found?.gateways ?? []) {
    if (!hashes.includes(hash)) continue;
    const link = site.links.of(namespace);
    await link.ip(`announcing ${namespace}`, [command`link set ${outsideName} address ${mac}`]);
  }
}

/** A watch that keeps the permit. */
export interface KeptPermit {
  /** Resolves once the permit has run out. */
  readonly lapsed: Promise<void>;
  /** The other gateway host is silent: the permit lasts a moment more at most. */
  doubt(): Promise<void>;
  /** Nobody renews it any more; it runs out by itself. */
  close(): void;
}

/** Begins the permit with the next beat, or with the last one if that is fresh. @returns null when it has run out */
export async function keepPermit(site: DataplaneSite, network: string, recovered: boolean): Promise<KeptPermit | null> {
  const state = stateOf(site);
  const hash = networkHash(network);
  const lead: Lead = { hash, untilMs: now() + gatewayPermitMs, isGiven: false };
  const begins = await inTurn(site, async () => {
    const found = await readPermitTable(site);
    if (recovered && found?.held.has(hash) !== true) return false;
    state.leads.set(hash, lead);
    state.isEmpty = false;
    await writePermitTable(site, found, found?.gateways ?? new Map(), keptNetworks(state, found?.held));
    // Without a beat since it is not given yet.
    const givenUntilMs = state.beatMs + gatewayPermitMs;
    if (givenUntilMs <= now()) return true;
    lead.untilMs = givenUntilMs;
    await give(site, [lead]);
    if (found?.held.has(hash) !== true) await announce(site, [hash]);
    return true;
  });
  if (!begins) return null;
  let timer: NodeJS.Timeout | undefined;
  const lapsed = new Promise<void>((resolve) => {
    const look = (): void => {
      const leftMs = lead.untilMs - now();
      if (leftMs <= 0) resolve();
      else timer = setTimeout(look, leftMs + 1);
    };
    look();
  });
  const close = (): void => {
    clearTimeout(timer);
    if (state.leads.get(hash) === lead) state.leads.delete(hash);
  };
  return {
    lapsed,
    close,
    doubt: () =>
      inTurn(site, async () => {
        if (state.leads.get(hash) !== lead) return;
        close();
        lead.untilMs = Math.min(lead.untilMs, now() + gatewayDoubtMs);
        await give(site, [lead]);
      }),
  };
}

/** The kernel forwards nothing for the external network any more, when this resolves. */
export function endPermit(site: DataplaneSite, network: string): Promise<void> {
  return inTurn(site, async () => {
    const state = stateOf(site);
    const hash = networkHash(network);
    state.leads.delete(hash);
    if (state.isEmpty) return;
    const found = await readPermitTable(site);
    const held = new Set(found?.held);
    held.delete(hash);
    if (found?.networks.has(hash) === true) await writePermits(site, new Map([[hash, 0]]));
    await writePermitTable(site, found, found?.gateways ?? new Map(), keptNetworks(state, held));
    state.isEmpty = (found?.gateways.size ?? 0) === 0 && state.leads.size === 0;
  });
}

/** Whether a gateway is under the permit, and its uplink is watched for it. */
export async function isPermitted(site: DataplaneSite, namespace: string, gateway: PermitGateway): Promise<boolean> {
  const found = await readPermitTable(site);
  const has = found?.gateways.get(namespace);
  return (
    has?.mac === gateway.mac &&
    has.uplink === gateway.uplink &&
    has.hash === networkHash(gateway.network) &&
    found?.uplinks.has(gateway.uplink) === true
  );
}

/** Whether the table stands at all: whoever flushes the host's ruleset takes it along. */
export const hasPermitTable = async ({ links, names }: DataplaneSite): Promise<boolean> =>
  (await links.host.nftRead(`list map netdev ${names.gatewayTable} gateways`)) !== null;

/**
 * Recovery of the cluster actor after a store rollback: until every host has sent its inventory, nothing is placed and
 * no VNI is allocated; the inventories are kept in rows, and a VM that does not know its own run gets no other host.
 * Pure functions of context and event. Upholds: one run of a VM at a time, one VPC per VNI, one port per address, also
 * after acknowledged commits were lost (docs/decisions/0007).
 */
import { assertEvent } from 'xstate';
import { agentId } from '../values/identifiers.ts';
import { eraOf } from '../values/requests.ts';
import { putRow, removeRow, row, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { FoundPort } from '../values/inventory-schema.ts';
import {
  firstVni,
  lastVni,
  type ClusterContext,
  type FoundOn,
  type FoundPorts,
  type Recovery,
} from './cluster-context.ts';
import { eraCleared, importRefused, inventoryReceived, lossRefused, type ClusterEvent } from './cluster-protocol.ts';
import { refuseAndWait } from './cluster-waiting.ts';

type At = Seen<ClusterContext, ClusterEvent>;

/** VNIs allocated after the restored state are unknown; fewer than this can have been allocated since. */
const vniLeap = 65_536;

export const isNewEra = ({ context, event }: At): boolean => eraOf(event) > context.era;
/** An inventory may be the first message of a new era; it counts like the later ones. */
export const isFirst = (seen: At): boolean =>
  isNewEra(seen) && seen.event.type === 'inventory.report' && seen.event.era === eraOf(seen.event);
/**
 * True for an inventory of the present era; an agent repeats it until the cluster has acknowledged it in the same era.
 */
export const isPresent = ({ context, event }: At): boolean =>
  event.type === 'inventory.report' &&
  event.era === eraOf(event) &&
  event.era === context.era &&
  context.recovery !== null;

export function begin({ context, event }: At): Partial<ClusterContext> {
  const span = lastVni - firstVni + 1;
  return {
    era: eraOf(event),
    nextVni: firstVni + ((context.nextVni - firstVni + vniLeap) % span),
    recovery: { since: event.meta.at, heard: [], liftedAt: null, missing: [] },
  };
}

const missingOf = ({ hosts, recovery }: ClusterContext): readonly string[] =>
  Object.keys(hosts).filter((host) => hosts[host]?.fenced === false && recovery?.heard.includes(host) !== true);

export const allHeard = ({ context }: { readonly context: ClusterContext }): boolean => missingOf(context).length === 0;

export function end({ context, event }: At): Partial<ClusterContext> {
  const { recovery } = context;
  if (recovery === null) return {};
  return { recovery: { ...recovery, liftedAt: event.meta.at, missing: missingOf(context) } };
}

/** Stores the inventory of a host; when two hosts report one VM in this era, the higher run epoch wins. */
export function takeInventory({ context, event }: At): Acted<ClusterContext> {
  assertEvent(event, 'inventory.report');
  const { host, runs, ports, vnis } = event;
  const asks: Asked[] = [];
  for (const run of runs) {
    const known = row<FoundOn>(event, 'found-run', run.vm);
    const rivals = known !== undefined && known.host !== host && known.era === event.era;
    if (!rivals || known.runEpoch <= run.runEpoch)
      asks.push(putRow('found-run', run.vm, { ...run, host, era: event.era } satisfies FoundOn));
  }
  for (const vpc of new Set(ports.map((port) => port.vpc))) {
    const known = row<FoundPorts>(event, 'found-ports', vpc) ?? {};
    asks.push(putRow('found-ports', vpc, { ...known, [host]: ports.filter((port) => port.vpc === vpc) }));
  }
  for (const { vpc, vni } of vnis) {
    if (row(event, 'vni', vpc) !== undefined || row(event, 'vni-owner', String(vni)) !== undefined) continue;
    asks.push(putRow('vni', vpc, vni), putRow('vni-owner', String(vni), vpc));
  }
  const recovery = context.recovery as Recovery;
  asks.push(send(agentId(host), inventoryReceived({ era: event.era, released: recovery.liftedAt !== null })));
  const heard = [...new Set([...recovery.heard, host])];
  return { changes: { recovery: { ...recovery, heard } }, asks };
}

/** Tells the agents that have reported: what their hosts have for nobody may be removed from now on. */
export const tellReleased = ({ context: { recovery }, event }: At): readonly Asked[] =>
  (recovery?.heard ?? []).map((host) => send(agentId(host), inventoryReceived({ era: eraOf(event), released: true })));

const recovering = (what: string) => ({
  code: 'recovering',
  message: `the store was rolled back; ${what} once every host has sent its inventory`,
  retryable: true,
});

export function refusePlacing({ event }: At): readonly Asked[] {
  assertEvent(event, 'place');
  return refuseAndWait(event, recovering(`${event.vm} is placed`));
}

export function refuseLoss({ event }: At): readonly Asked[] {
  assertEvent(event, 'loss.ask');
  const { host, request, meta } = event;
  return [send(meta.from ?? '', lossRefused({ host, error: recovering(`${request.vm} is moved`) }))];
}

export function refuseImport({ event }: At): readonly Asked[] {
  assertEvent(event, 'import.place');
  const error = recovering(`${event.image} is imported`);
  return [send(event.meta.from ?? '', importRefused({ image: event.image, error }))];
}

/** Obsolete when the host is fenced, or has reported a later inventory without the run. */
const isOver = ({ era, hosts, recovery }: ClusterContext, found: FoundOn): boolean =>
  hosts[found.host]?.fenced === true || (found.era < era && recovery?.heard.includes(found.host) === true);

/** A found run that the VM does not know; otherwise undefined. */
function strangeRun({ context, event }: At): FoundOn | undefined {
  assertEvent(event, 'place');
  const found = row<FoundOn>(event, 'found-run', event.vm);
  if (found === undefined || isOver(context, found)) return undefined;
  return event.lastRun?.host === found.host && event.lastRun.incarnationUid === found.incarnationUid
    ? undefined
    : found;
}

export const isStrange = (seen: At): boolean => strangeRun(seen) !== undefined;

/** A VM that knows the found run has ended it before it requests a placement. */
export function forgetRun(seen: At): readonly Asked[] {
  const { event } = seen;
  assertEvent(event, 'place');
  if (row(event, 'found-run', event.vm) === undefined || isStrange(seen)) return [];
  return [removeRow('found-run', event.vm)];
}

export function refuseStrange(seen: At): readonly Asked[] {
  const { event } = seen;
  assertEvent(event, 'place');
  const found = strangeRun(seen);
  const message =
    `${event.vm} was found running (run ${found?.incarnationUid}), which the store does not know; ` +
    `give the VM another name; this one is free in the next era if an operator has stopped that QEMU on its host`;
  return refuseAndWait(event, { code: 'runs_already', message, retryable: true });
}

/** The addresses found in the network's VPC; the network uses those of its own subnets. */
export function clear({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'era.ask');
  const found = row<FoundPorts>(event, 'found-ports', event.vpc) ?? {};
  const taken: readonly FoundPort[] = Object.values(found).flat();
  return [send(event.network, eraCleared({ era: context.era, taken }))];
}

/** The methods `watch.open`, `watch.ack` and `watch.close`: they make and control WatchSubscriptions of a session. */
import { PhotonError, reject } from '../contract/errors.ts';
import { partsOf, type ActorId } from '../contract/identifiers.ts';
import type { ActorSummary, Cursor } from '../contract/reader.ts';
import { payerOf, readableId } from './access-rule.ts';
import { detailedOf } from './actor-view.ts';
import { problemOf, publicRecord } from './api-problem.ts';
import { apiMethods, type ListedActor } from './api-schema.ts';
import { method, type ApiPorts, type Caller, type Method } from './method-table.ts';
import { filterOf, isReadable, scannedPerToken } from './read-methods.ts';
import { checkSelection } from './selection-check.ts';
import { WatchSubscription } from './watch-subscription.ts';

export function watchMethods(ports: ApiPorts): Map<string, Method> {
  const shape = apiMethods;
  const details = { operator: sharedDetails(ports, true), scope: sharedDetails(ports, false) };
  return new Map<string, Method>([
    ['watch.open', method(shape['watch.open'].params, (params, caller) => openWatch(ports, details, params, caller))],
    [
      'watch.ack',
      method(shape['watch.ack'].params, ({ watch, upTo }, caller) => {
        watchOf(caller, watch).ack(upTo);
        return {};
      }),
    ],
    [
      'watch.close',
      method(shape['watch.close'].params, ({ watch }, caller) => {
        watchOf(caller, watch).close();
        return {};
      }),
    ],
  ]);
}

function watchOf(caller: Caller, watch: string): WatchSubscription {
  const found = caller.watches.get(watch);
  if (found === undefined) throw reject('watch_not_open', `There is no open watch ${watch} in this session; open one.`);
  return found;
}

type DetailReader = (entry: ActorSummary) => Promise<ListedActor | undefined>;
type OpenParams = ReturnType<(typeof apiMethods)['watch.open']['params']['parse']>;

function openWatch(
  ports: ApiPorts,
  details: Readonly<Record<'operator' | 'scope', DetailReader>>,
  params: OpenParams,
  caller: Caller,
): { watch: string; window: number } {
  const { registry, limits, clock, log, hub } = ports;
  const { principal } = caller;
  checkSelection(registry, params);
  if (caller.watches.size >= limits.maxWatches) {
    throw reject('too_many_watches', `This session has ${limits.maxWatches} watches open; close one of them.`);
  }
  const filter = filterOf(principal, params);
  const ids = idsOf(ports, params.ids, caller);
  const matches = (entry: ActorSummary): boolean => {
    if (ids !== undefined && !ids.has(entry.id)) return false;
    const parts = partsOf(entry.id);
    if (filter.kind !== undefined && filter.kind !== parts.kind) return false;
    if (filter.scope !== undefined && filter.scope !== parts.scope) return false;
    if (filter.host !== undefined && filter.host !== parts.host) return false;
    if (filter.search !== undefined && !entry.id.includes(filter.search)) return false;
    return isReadable(principal, entry);
  };
  const held = caller.hold();
  if (held.isOver()) throw overBudget(payerOf(principal));
  caller.charge((ids?.size ?? hub.actors()) / scannedPerToken);
  const watch = caller.nextWatchId();
  const traceId = caller.trace.slice(3, 35);
  const subscription = new WatchSubscription({
    watch,
    hub,
    clock,
    window: limits.watchWindow,
    bookmarkMs: limits.bookmarkMs,
    selection: { ids, matches },
    held,
    ...(params.detail === true ? { detail: details[principal.admin ? 'operator' : 'scope'] } : {}),
    strict: params.strict === true,
    send: (frame) => caller.sendWatchFrame(frame),
    maySend: () => caller.maySend(),
    inTurn: (task) => caller.inTurn(task),
    problemOf: (error) => {
      const bug = new PhotonError('bug', 'internal', 'The watch failed.', { cause: error });
      const { record } = error instanceof PhotonError ? error : bug;
      return problemOf(publicRecord(record, traceId, log), traceId);
    },
    onClosed: () => caller.watches.delete(watch),
  });
  caller.watches.set(watch, subscription);
  // Started after the answer was sent, so that the client knows the watch's id when its first frame arrives.
  setImmediate(() => subscription.start(params.since as Cursor | undefined));
  return { watch, window: limits.watchWindow };
}

function overBudget(payer: string): PhotonError {
  const text = `Watches and unsent answers of ${payer} use up its memory on this node; read them, or close watches.`;
  return new PhotonError('rejection', 'overloaded', text, { retryable: true, retryAfterMs: 1_000 });
}

/** Ids may name actors that do not exist yet; ids of other scopes are refused like malformed ones. */
function idsOf(ports: ApiPorts, texts: readonly string[] | undefined, caller: Caller): Set<ActorId> | undefined {
  if (texts === undefined) return undefined;
  if (texts.length > ports.limits.maxWatchIds) {
    throw reject('too_many_ids', `A watch takes at most ${ports.limits.maxWatchIds} ids; watch the kind or the scope.`);
  }
  return new Set(texts.map((text) => readableId(caller.principal, text).id));
}

/** How many details are kept for watches that ask for the same ones. */
const maxDetails = 500;

/** Lines with spec and status: a change is read once, however many watches show it. */
function sharedDetails({ reader, registry }: ApiPorts, isOperator: boolean): DetailReader {
  const read = new Map<ActorId, { readonly of: ActorSummary; readonly line: Promise<ListedActor | undefined> }>();
  return (entry) => {
    const known = read.get(entry.id);
    if (known !== undefined && known.of.version === entry.version && known.of.held === entry.held) return known.line;
    const line = detailedOf(entry, reader, { registry, isOperator });
    read.delete(entry.id);
    read.set(entry.id, { of: entry, line });
    const forget = (): void => {
      if (read.get(entry.id)?.line === line) read.delete(entry.id);
    };
    line.catch(forget);
    const [oldest] = read.keys();
    if (read.size > maxDetails && oldest !== undefined) read.delete(oldest);
    return line;
  };
}

/** The methods `watch.open`, `watch.ack` and `watch.close`: they make and control WatchSubscriptions of a session. */
import { PhotonError, reject } from '../contract/errors.ts';
import { partsOf, type ActorId } from '../contract/identifiers.ts';
import type { ActorSummary, Cursor } from '../contract/reader.ts';
import { readableId } from './access-rule.ts';
import { detailedOf, stateNameOf, waitingOnOf } from './actor-view.ts';
import { problemOf, publicRecord } from './api-problem.ts';
import { apiMethods } from './api-schema.ts';
import { method, type ApiPorts, type Caller, type Method } from './method-table.ts';
import { filterOf, isReadable } from './read-methods.ts';
import { checkSelection } from './selection-check.ts';
import { WatchSubscription } from './watch-subscription.ts';

export function watchMethods(ports: ApiPorts): Map<string, Method> {
  const shape = apiMethods;
  return new Map<string, Method>([
    ['watch.open', method(shape['watch.open'].params, (params, caller) => openWatch(ports, params, caller))],
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

type OpenParams = ReturnType<(typeof apiMethods)['watch.open']['params']['parse']>;

function openWatch(ports: ApiPorts, params: OpenParams, caller: Caller): { watch: string; window: number } {
  const { reader, registry, limits, clock, log, hub } = ports;
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
  const list = async (): Promise<{ items: readonly ActorSummary[]; cursor: Cursor }> => {
    const read = ids === undefined ? await reader.list(filter) : await listIds(ports, ids);
    return { items: read.items.filter(matches), cursor: read.cursor };
  };
  const watch = caller.nextWatchId();
  const traceId = caller.trace.slice(3, 35);
  const subscription = new WatchSubscription({
    watch,
    hub,
    clock,
    window: limits.watchWindow,
    bookmarkMs: limits.bookmarkMs,
    matches,
    list,
    ...(params.detail === true ? { detail: (entry: ActorSummary) => detailedOf(entry, reader, registry) } : {}),
    strict: params.strict === true,
    send: (frame) => caller.sendWatchFrame(frame),
    maySend: () => caller.maySend(),
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

/** Ids may name actors that do not exist yet; ids of other scopes are refused like malformed ones. */
function idsOf(ports: ApiPorts, texts: readonly string[] | undefined, caller: Caller): Set<ActorId> | undefined {
  if (texts === undefined) return undefined;
  if (texts.length > ports.limits.maxWatchIds) {
    throw reject('too_many_ids', `A watch takes at most ${ports.limits.maxWatchIds} ids; watch the kind or the scope.`);
  }
  return new Set(texts.map((text) => readableId(caller.principal, text).id));
}

/** Reads single actors without reading the whole index. */
async function listIds(
  { reader }: ApiPorts,
  ids: ReadonlySet<ActorId>,
): Promise<{ items: ActorSummary[]; cursor: Cursor }> {
  const cursor = await reader.now();
  const read = await Promise.all(
    [...ids].map(async (id) => {
      const stored = await reader.get(id);
      if (stored === undefined) return undefined;
      const [last] = await reader.history(id, stored.version - 1, 1);
      const { uid, version, status, state, hold } = stored;
      const stateName = stateNameOf(state);
      const line = { id, uid, version, status, stateName, waitingOn: waitingOnOf(stored), at: last?.at ?? 0 };
      return hold === undefined ? line : { ...line, held: hold.kind };
    }),
  );
  return { items: read.filter((item) => item !== undefined), cursor };
}

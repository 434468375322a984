/**
 * Methods that read history. Of an old version a principal sees the same as of the current one: state, spec and status;
 * only operators see the context. The Historian port reads store and archives.
 */
import { partsOf, type ActorId } from '../contract/identifiers.ts';
import { PhotonError, reject } from '../contract/errors.ts';
import type { Historian, HistoryPage, RebuiltActor } from '../contract/historian.ts';
import type { HistoryEntry, StoredActor } from '../contract/journal.ts';
import type { Reader } from '../contract/reader.ts';
import { notFound, readableId, type Principal } from './access-rule.ts';
import { historyItemOf, maskedBy, scopeHistoryItemOf, shownFieldsOf, stateNameOf, viewOf } from './actor-view.ts';
import { apiMethods, type ApiResult, type HistoryItem } from './api-schema.ts';
import { method, type ApiPorts, type Method } from './method-table.ts';

/** More than the store keeps of an actor. */
const hotEntries = 100_000;

/** The historian of a node without an archive: reads only the newest entries, which are in the store. */
export const hotHistorian = (reader: Reader): Historian => ({
  hotOnly: true,
  async history(id, { after, to = Infinity, skip = 0, limit }) {
    const entries = (await reader.history(id, after, hotEntries)).filter((entry) => entry.version <= to);
    return entries.slice(0, entries.length - skip).slice(-limit);
  },
  at: (id) => Promise.reject(noArchive(id)),
  status: () => ({ archivedEntries: 0, waiting: 0, nearCap: 0, lostVersions: 0 }),
});

const noArchive = (actor: ActorId): PhotonError =>
  new PhotonError('rejection', 'no_archive', 'This node has no history archive. Ask a controller.', { actor });

export function historyMethods(ports: ApiPorts): Map<string, Method> {
  const { historian, reader } = ports;
  const shape = apiMethods;
  return new Map<string, Method>([
    [
      'actor.history',
      method(shape['actor.history'].params, async ({ id: text, after, to, skip, limit }, { principal }) => {
        const { id } = readableId(principal, text);
        // One entry more than requested shows whether there is an older page.
        const range = { after, skip, ...(to === undefined ? {} : { to }) };
        const found = await historian.history(id, { ...range, limit: limit + 1 });
        const stored = found.length === 0 || !principal.admin ? await reader.get(id) : undefined;
        if (found.length === 0 && stored === undefined) throw notFound(text);
        const entries = found.slice(-limit);
        const missing = historian.hotOnly === true ? 'not_archived' : 'lost';
        const older = found.length > limit ? 'more' : isWhole(entries, range) ? 'none' : missing;
        return { entries: entries.map(itemFor(ports, principal, id, stored)), older };
      }),
    ],
    [
      'actor.at',
      method(shape['actor.at'].params, async ({ id: text, version }, { principal }): Promise<ApiResult<'actor.at'>> => {
        const { id } = readableId(principal, text);
        const actor = await historian.at(id, version);
        const { state, chartVersion, entry } = actor;
        const stateName = state === null ? 'absent' : stateNameOf(state);
        return {
          id,
          version,
          chartVersion,
          state,
          stateName,
          ...shownOf(ports, principal, actor),
          entry: itemFor(ports, principal, id, principal.admin ? undefined : await reader.get(id))(entry),
        };
      }),
    ],
    [
      'actor.diff',
      method(shape['actor.diff'].params, async ({ id: text, from, to }, { principal }) => {
        const { id } = readableId(principal, text);
        const before = await historian.at(id, from);
        const after = await historian.at(id, to);
        const [old, now] = [before, after].map((actor) => ({
          state: actor.state,
          ...shownOf(ports, principal, actor),
        }));
        return { id, from, to, differences: differencesOf(old, now) };
      }),
    ],
    [
      'archive.status',
      method(shape['archive.status'].params, (_, { principal }) => {
        if (!principal.admin) throw reject('forbidden', 'archive.status is for operators only; ask an operator.');
        return { node: ports.node, ...historian.status() };
      }),
    ],
  ]);
}

/** Whether no version is missing between the start of the range and its first entry. */
function isWhole(entries: readonly HistoryEntry[], { after, to, skip }: Omit<HistoryPage, 'limit'>): boolean {
  const [first] = entries;
  if (first !== undefined) return first.version <= after + 1;
  // Entries that were left out are of version `to`.
  return to === undefined || to - (skip ? 1 : 0) <= after;
}

/** Operators see entries whole, others what the view of the actor shows. */
function itemFor(
  { registry }: ApiPorts,
  principal: Principal,
  id: ActorId,
  stored: StoredActor | undefined,
): (entry: HistoryEntry) => HistoryItem {
  const definition = registry.kinds.get(partsOf(id).kind);
  if (principal.admin) return (entry) => historyItemOf(entry, definition);
  const shown = stored === undefined ? new Set<string>() : shownFieldsOf(stored, registry);
  return (entry) => scopeHistoryItemOf(entry, shown, definition);
}

function shownOf(
  { registry }: ApiPorts,
  principal: Principal,
  actor: RebuiltActor,
): { spec: unknown; status: unknown; context?: unknown } {
  const view =
    actor.state === null ? { spec: null, status: null } : viewOf(actor, { registry, isOperator: principal.admin });
  const context = maskedBy(registry.kinds.get(partsOf(actor.id).kind), actor.context);
  return principal.admin ? { ...view, context } : view;
}

type Difference = ApiResult<'actor.diff'>['differences'][number];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Compares objects field by field; a list is compared as one value. */
export function differencesOf(before: unknown, after: unknown, path = ''): Difference[] {
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => {
      const inner = path === '' ? key : `${path}.${key}`;
      if (!(key in before)) return [{ path: inner, after: after[key] }];
      if (!(key in after)) return [{ path: inner, before: before[key] }];
      return differencesOf(before[key], after[key], inner);
    });
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
}

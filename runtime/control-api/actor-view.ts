/**
 * Converts committed actors from their stored form to the wire form. The kind's `view` decides what is shown and
 * contains no secret; contexts and effect params are never part of the result.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import { PhotonError } from '../contract/errors.ts';
import { partsOf } from '../contract/identifiers.ts';
import type { HistoryEntry, StoredActor } from '../contract/journal.ts';
import type { ActorSummary, Reader } from '../contract/reader.ts';
import type { ActorObject, ActorSummaryWire, HistoryItem, ListedActor } from './api-schema.ts';

/** `running`, `preparing.tap`; parallel regions joined by commas. */
export function stateNameOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .flatMap(([key, child]) => {
      const inner = stateNameOf(child);
      return inner === '' ? [key] : inner.split(',').map((name) => `${key}.${name}`);
    })
    .join(',');
}

export function waitingOnOf(stored: StoredActor): ActorSummary['waitingOn'] {
  if (stored.status === 'removed') return [];
  const waits: ('timer' | 'effect')[] = [];
  if (stored.effects.length > 0) waits.push('effect');
  if (stored.timers.length > 0) waits.push('timer');
  return waits.length > 0 ? waits : ['event'];
}

/** A current snapshot or one rebuilt from history. */
type Viewed = Pick<StoredActor, 'id' | 'chartVersion' | 'state' | 'context'>;

/** The context, upgraded to this program's chart version; the stored context is not changed. */
function currentContext(stored: Viewed, definition: ActorDefinition): unknown {
  let form: { state: unknown; context: unknown } = { state: stored.state, context: stored.context };
  for (let from = stored.chartVersion; from < definition.chartVersion; from += 1) {
    const upgrade = definition.upgrades?.[from];
    if (upgrade === undefined) throw unreadable(stored, definition);
    form = upgrade(form);
  }
  if (stored.chartVersion > definition.chartVersion) throw unreadable(stored, definition);
  return form.context;
}

function unreadable(stored: Viewed, definition: ActorDefinition): PhotonError {
  const text =
    `${stored.id} is stored by chart version ${stored.chartVersion}, which this node (version ` +
    `${definition.chartVersion}) cannot read; ask a node of that version.`;
  return new PhotonError('defeat', 'snapshot_version', text, { public: true, actor: stored.id });
}

/** Who looks, and at which kinds. */
export interface Viewer {
  readonly registry: ActorRegistry;
  readonly isOperator: boolean;
}

type View = Pick<ActorObject, 'spec' | 'status' | 'reason'>;

export function viewOf(stored: Viewed, { registry, isOperator }: Viewer): View {
  const definition = registry.kinds.get(partsOf(stored.id).kind);
  // A removed actor that has since refused a command has no context any more.
  if (definition === undefined || stored.context === null) return { spec: null, status: null };
  const view = definition.view(currentContext(stored, definition) as never);
  const { spec, status, reason = null } = isOperator ? view : (definition.forScope?.(view) ?? view);
  return reason === null ? { spec, status } : { spec, status, reason };
}

/** An actor of a newer chart version is shown without spec and status: it must not make a whole list fail. */
function shownOf(stored: StoredActor, viewer: Viewer): View & Pick<ActorObject, 'refused'> {
  try {
    return viewOf(stored, viewer);
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.code !== 'snapshot_version') throw error;
    return { spec: null, status: null, refused: error.record.message };
  }
}

export function objectOf(stored: StoredActor, viewer: Viewer): ActorObject {
  return {
    id: stored.id,
    uid: stored.uid,
    version: stored.version,
    chartVersion: stored.chartVersion,
    state: stored.state,
    stateName: stored.state === null ? 'absent' : stateNameOf(stored.state),
    lifecycle: stored.status,
    waitingOn: [...waitingOnOf(stored)],
    ...shownOf(stored, viewer),
    effects: stored.effects.map(({ effectId, type, stateId }) => ({ id: effectId, type, state: stateId })),
    timers: stored.timers.map(({ timerId, dueMs, eventType }) => ({ id: timerId, dueMs, eventType })),
    ...(stored.hold === undefined ? {} : { hold: { ...stored.hold } }),
  };
}

export function summaryOf(summary: ActorSummary): ActorSummaryWire {
  const { id, uid, version, stateName, status, waitingOn, at, held } = summary;
  const line = { id, uid, version, stateName, lifecycle: status, waitingOn: [...waitingOn], at };
  return held === undefined ? line : { ...line, held };
}

/** A list line with spec and status. @returns undefined when the actor was removed after the list was read. */
export async function detailedOf(
  summary: ActorSummary,
  reader: Reader,
  viewer: Viewer,
): Promise<ListedActor | undefined> {
  const stored = await reader.get(summary.id);
  if (stored === undefined || stored.status === 'removed') return undefined;
  const stateName = stateNameOf(stored.state);
  const { uid, version, hold } = stored;
  const { held: _, ...rest } = summaryOf(summary);
  const held = hold === undefined ? {} : { held: hold.kind };
  const line = { ...rest, ...held, uid, version, stateName, waitingOn: [...waitingOnOf(stored)] };
  return { ...line, ...shownOf(stored, viewer) };
}

/** Without the host of an actor that is named after one; the step in which a message was sent stays. */
const withoutHost = (text: string): string => text.replaceAll(/(\/[a-z0-9.-]+)@[a-z0-9-]+/g, '$1');

/**
 * What a principal of the scope sees of a step: that it happened, its own command whole, of any other event the type
 * and the code of an error, and of the changed fields those that the view shows.
 */
export function scopeHistoryItemOf(
  entry: HistoryEntry,
  shown: ReadonlySet<string>,
  definition: ActorDefinition | undefined,
): HistoryItem {
  const { whole: _, gone, ...item } = historyItemOf(entry, definition);
  const changed = Object.entries(item.changed).filter(([key]) => shown.has(key));
  const left = gone?.filter((key) => shown.has(key)) ?? [];
  return {
    ...item,
    event: item.cause.startsWith('command:') ? item.event : namedEvent(item.event),
    cause: withoutHost(item.cause),
    asked: item.asked.map(withoutHost),
    changed: Object.fromEntries(changed),
    ...(left.length === 0 ? {} : { gone: left }),
  };
}

function namedEvent(event: unknown): unknown {
  const { type, error } = event as { readonly type?: unknown; readonly error?: { readonly code?: unknown } | null };
  return typeof error?.code === 'string' ? { type, error: { code: error.code } } : { type };
}

/** The fields of a context that the view shows to the scope as they are. */
export function shownFieldsOf(stored: StoredActor, registry: ActorRegistry): ReadonlySet<string> {
  const definition = registry.kinds.get(partsOf(stored.id).kind);
  const { spec, status } = shownOf(stored, { registry, isOperator: false });
  if (definition === undefined || stored.context === null || status === null) return new Set();
  const context = currentContext(stored, definition) as Readonly<Record<string, unknown>>;
  const fields = Object.entries({ spec, ...(status as object) }) as [string, unknown][];
  const isShown = ([name, value]: [string, unknown]): boolean => {
    const of = context[name];
    return of === value || (of !== undefined && isDeepStrictEqual(maskedBy(definition, of), value));
  };
  return new Set(fields.filter(isShown).map(([name]) => name));
}

/** A value of an actor with marks in the place of its secrets. */
export const maskedBy = <T>(definition: ActorDefinition | undefined, value: T): T =>
  definition?.masked === undefined ? value : definition.masked(value);

export function historyItemOf(entry: HistoryEntry, definition: ActorDefinition | undefined): HistoryItem {
  const { asked, taken, gone, ...all } = entry;
  const rest = { ...all, event: maskedBy(definition, all.event), changed: maskedBy(definition, all.changed) };
  const took = taken === undefined ? {} : { taken: [...taken] };
  return { ...rest, asked: [...asked], ...took, ...(gone === undefined ? {} : { gone: [...gone] }) };
}

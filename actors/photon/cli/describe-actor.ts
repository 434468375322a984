/** The text of `photon describe`: the object, what it waits for, and its latest history. */
import type { Condition } from '@photoncloud/machines/values/conditions';
import type { Failure } from '@photoncloud/machines/values/failures';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { askedText, eventText } from '@photoncloud/runtime/inspector/asked-text';
import { figureText, figureWord } from '@photoncloud/runtime/inspector/pages/figure-text';
import { holdLines, type HoldShown } from './held-actors.ts';
import { yamlText } from './terminal-text.ts';
import { age, stateWord, textTable } from './text-table.ts';

export interface ActorRead {
  readonly id: string;
  readonly uid: string;
  readonly version: number;
  readonly stateName: string;
  readonly lifecycle: 'live' | 'removed';
  readonly waitingOn: readonly string[];
  readonly spec: unknown;
  readonly status: unknown;
  readonly reason?: string;
  readonly effects: readonly { readonly type: string; readonly state: string }[];
  readonly hold?: HoldShown;
  readonly refused?: string;
  readonly timers: readonly { readonly id: string; readonly dueMs: number }[];
}

export interface HistoryLine {
  readonly version: number;
  readonly at: number;
  readonly kind: string;
  readonly event: { readonly type: string; readonly principal?: string; readonly reason?: string };
  readonly from: unknown;
  readonly to: unknown;
  readonly asked: readonly string[];
}

/** `{held: 'attached'}` -> `held.attached`. */
export function stateText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null || typeof value !== 'object') return '-';
  return Object.entries(value)
    .map(([outer, inner]) => `${outer}.${stateText(inner)}`)
    .join(',');
}

/** For an operator's verb: principal and reason; for an input without a transition: its outcome. */
export function whatHappened({ kind, event }: HistoryLine): string {
  const word = eventText(event.type);
  if (event.type.startsWith('actor.')) return `${word} by ${event.principal ?? '?'}: ${event.reason ?? ''}`;
  return kind === 'transition' ? word : `${word} (${kind})`;
}

export async function historyTable(client: PhotonClient, id: string, limit: number): Promise<string> {
  const { entries } = (await client.call('actor.history', { id, limit })) as { entries: readonly HistoryLine[] };
  const now = Date.now();
  const rows = entries.map((line) => [
    String(line.version),
    age(line.at, now),
    whatHappened(line),
    `${stateText(line.from)} -> ${stateText(line.to)}`,
    line.asked.map(askedText).join(', '),
  ]);
  return textTable(['version', 'age', 'event', 'from -> to', 'requests'], rows);
}

const indented = (value: unknown): string => yamlText(value ?? {}, 110).replace(/^/gm, '  ');

/** Wall times of a status (`runningSince`, `createdAt`) as text, with their age; everything else as it is. */
export function withTimes(status: Readonly<Record<string, unknown>>, now: number): Record<string, unknown> {
  const shown = ([name, value]: [string, unknown]): [string, unknown] =>
    /(?:Since|At|since|at)$/.test(name) && typeof value === 'number' && value > 0
      ? [name, `${new Date(value).toISOString()} (${age(value, now)} ago)`]
      : [name, value];
  return Object.fromEntries(Object.entries(status).map(shown));
}

const conditionTable = (conditions: readonly Condition[], now: number): string =>
  textTable(
    ['condition', 'status', 'reason', 'since', 'message'],
    conditions.map(({ type, status, reason, since, message }) => [type, status, reason, age(since, now), message]),
  ).replace(/^/gm, '  ');

interface HostShown {
  readonly host: string;
  readonly sections: Readonly<
    Record<string, { readonly published: number; readonly proven: number; readonly failure: Failure | null }>
  >;
  readonly failure: Failure | null;
}

/** What each host has been sent of a VPC and what it has proved: a row per section. */
function sectionTable(hosts: readonly HostShown[]): string {
  const rows = hosts.flatMap(({ host, sections, failure: ofHost }) =>
    Object.entries(sections).map(([section, { published, proven, failure }]) => [
      host,
      section,
      String(published),
      String(proven),
      proven === published ? 'in sync' : 'lags',
      (failure ?? ofHost)?.message ?? '',
    ]),
  );
  return textTable(['host', 'section', 'published', 'proven', 'state', 'why'], rows).replace(/^/gm, '  ');
}

interface CanMigrate {
  readonly value: boolean;
  readonly reasons: readonly { readonly message: string }[];
  readonly method: 'live' | 'stopped' | null;
}

/** Whether a VM can be moved to another host now. */
export function migrateLine({ value, reasons, method }: CanMigrate): string {
  if (!value) return `can migrate: no: ${reasons.map(({ message }) => message).join('; ')}`;
  const how = 'its guest stands still meanwhile, because its QEMU is too old to send it while it runs';
  return `can migrate: yes, ${method === 'stopped' ? how : 'while its guest runs'}`;
}

/** What is read of a kind now: the title, and what a row is. */
const readNow: Readonly<Record<string, readonly [string, string]>> = {
  volume: ['figures', 'figure'],
  vm: ['guest', 'said by the guest'],
};

/** What the nodes of the object read now. A controller of an older release knows less. */
async function figureLines(client: PhotonClient, id: string): Promise<readonly string[]> {
  const [title, column] = readNow[id.slice(0, id.indexOf('/'))] ?? [];
  if (title === undefined || column === undefined) return [];
  try {
    const { figures, facts = [], complete } = await client.call('actor.figures', { id });
    const rows = [
      ...Object.entries(figures).map(([name, value]) => [figureWord(name), figureText(name, value)]),
      ...facts.map(({ name, values }) => [name, values.join(', ')]),
    ];
    const table = textTable([column, 'now'], rows).replace(/^/gm, '  ');
    return [`${title}:`, table, ...(complete ? [] : ['  a node did not answer: some of it is missing'])];
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    return error.record.code === 'no_figures' ? [] : [`${title}: not read: ${error.message}`];
  }
}

/** Of an object that a deployment manages: a change by hand is not the last word. */
const managerLine = (managedBy: string | null | undefined): readonly string[] =>
  managedBy === null || managedBy === undefined ? [] : [`managed by: ${managedBy}; change it in its files`];

export async function describeActor(client: PhotonClient, id: string): Promise<string> {
  const actor = (await client.call('actor.get', { id })) as ActorRead;
  const now = Date.now();
  const waits = [
    ...(actor.hold === undefined ? [] : ['an operator']),
    ...actor.effects.map((effect) => `effect ${effect.type} (of state ${effect.state})`),
    ...actor.timers.map(({ id: timer, dueMs }) => {
      const seconds = Math.max(0, Math.round((dueMs - now) / 1_000));
      return `timer ${timer.replace(/^xstate\.after\./, '')} in ${seconds} s`;
    }),
  ];
  const word = stateWord(actor.lifecycle === 'removed' ? 'removed' : actor.stateName);
  const state = actor.hold === undefined ? word : `${word} (${actor.hold.kind})`;
  const { conditions, managedBy, ...status } = (actor.status ?? {}) as {
    conditions?: readonly Condition[];
    managedBy?: string | null;
  };
  const { canMigrate, ...shown } = status as { readonly canMigrate?: CanMigrate };
  const { hosts, ...ofVpc } = shown as { hosts?: readonly HostShown[] };
  const isVpc = actor.id.startsWith('vpc/');
  return [
    `${actor.id}  ${state}  version ${actor.version}  uid ${actor.uid}`,
    ...(actor.hold === undefined ? [] : holdLines(actor.id, actor.hold, now)),
    ...(actor.refused === undefined ? [] : [actor.refused, 'next: photon upgrade check --dir FOLDER, on a node']),
    ...(actor.reason === undefined ? [] : [`reason: ${actor.reason}`]),
    actor.lifecycle === 'removed'
      ? 'waits for: nothing, it was removed'
      : `waits for: ${waits.join(', ') || 'an event'}`,
    ...managerLine(managedBy),
    ...(canMigrate === undefined ? [] : [migrateLine(canMigrate)]),
    ...(conditions === undefined ? [] : ['conditions:', conditionTable(conditions, now)]),
    'spec:',
    indented(actor.spec),
    'status:',
    indented(withTimes(isVpc ? ofVpc : shown, now)),
    ...(isVpc ? ['sections:', sectionTable(hosts ?? [])] : []),
    ...(await figureLines(client, id)),
    'history:',
    await historyTable(client, id, 12),
  ].join('\n');
}

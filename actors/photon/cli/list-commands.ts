/** `photon list` and `photon list --watch`: tables for people, JSON and YAML for programs. */
import { declaredKinds } from '@photoncloud/machines/kinds';
import { systemTenant } from '@photoncloud/machines/values/identifiers';
import type { PhotonClient, WatchFrame } from '@photoncloud/runtime/client/client';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { parseActorId } from '@photoncloud/runtime/contract/identifiers';
import { suggestion } from '@photoncloud/runtime/contract/suggestion';
import type { ListOutput } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { heldText, readHeld } from './held-actors.ts';
import { checkKind } from './targets.ts';
import { jsonText, outputClosed, say, yamlText } from './terminal-text.ts';
import { age, bornMs, stateWord, textTable } from './text-table.ts';

interface Listed {
  readonly id: string;
  readonly uid: string;
  readonly stateName: string;
  readonly version: number;
  readonly at: number;
  readonly waitingOn: readonly string[];
  readonly held?: string;
  /** With `detail`. */
  readonly spec?: unknown;
  readonly status?: Readonly<Record<string, unknown>> | null;
  /** With `detail`: why the actor is not as it should be. */
  readonly reason?: string;
}

/** The filters of `list` and of `list --watch`. */
export interface ListOptions {
  readonly kind?: string;
  readonly scope?: string;
  readonly state?: string;
  readonly host?: string;
  readonly search?: string;
  readonly held?: boolean;
}

type Column = readonly [title: string, text: (actor: Listed, now: number) => string];

const listColumns: readonly Column[] = [
  ['id', ({ id }) => id],
  ['state', ({ stateName, held }) => (held === undefined ? stateWord(stateName) : `${stateWord(stateName)} (${held})`)],
  ['version', ({ version }) => String(version)],
  ['changed', ({ at }, now) => age(at, now)],
  ['waits for', ({ waitingOn }) => waitingOn.join(',')],
];

const cell = (value: unknown): string => (value === null || value === undefined || value === '' ? '-' : String(value));

const declaredColumns = (kind: string | undefined) =>
  declaredKinds.find((schema) => schema.kind === kind)?.declared?.columns ?? {};

/** What a declared kind shows in its lists beside the fields of every actor. */
const columnsOf = (kind: string | undefined): readonly Column[] =>
  Object.entries(declaredColumns(kind)).map(([title, of]) => [
    title,
    ({ spec, status }) => (spec === null || spec === undefined ? '-' : cell(of(spec as never, status ?? {}))),
  ]);

/** The host on which an actor is, or on which the object that it stands for is. */
const hostOf = ({ id, status }: Listed): unknown => parseActorId(id)?.host ?? status?.['host'];

function addressesOf({ status }: Listed): string {
  const { ports = {}, address } = (status ?? {}) as { ports?: Readonly<Record<string, { address?: string }>> } & {
    address?: unknown;
  };
  return [address, ...Object.values(ports ?? {}).map((port) => port.address)].filter(Boolean).join(', ');
}

/** How often a VM was started again; of other kinds nothing. */
function restartsOf({ status }: Listed): unknown {
  const runs = status?.['runs'];
  return typeof runs === 'number' ? Math.max(0, runs - 1) : undefined;
}

const wideColumns: readonly Column[] = [
  ['addresses', (actor) => cell(addressesOf(actor))],
  ['host', (actor) => cell(hostOf(actor))],
  ['restarts', (actor) => cell(restartsOf(actor))],
  ['managed by', ({ status }) => cell(status?.['managedBy'])],
  ['age', ({ uid }, now) => cell(bornMs(uid) === undefined ? undefined : age(bornMs(uid) ?? now, now))],
];

/** The last column: it is the longest. */
const reasonColumn: Column = ['reason', ({ reason = '' }) => reason];

function columnsFor(kind: string | undefined, output: ListOutput): readonly Column[] {
  const own = columnsOf(kind);
  if (output !== 'wide') return own;
  const taken = wideColumns.map(([title]) => title);
  return [...wideColumns, ...own.filter(([title]) => !taken.includes(title) && title !== 'address')];
}

async function listAll(client: PhotonClient, filter: ListOptions & { detail?: boolean }): Promise<Listed[]> {
  const all: Listed[] = [];
  let after: string | undefined;
  do {
    const page = (await client.call('actor.list', {
      ...filter,
      limit: 200,
      ...(after === undefined ? {} : { after }),
    })) as {
      actors: Listed[];
      next?: string | null;
    };
    all.push(...page.actors);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return all;
}

/** Ids of a tenant's or of all objects of a kind. */
export async function idsOf(client: PhotonClient, kind: string, scope: string): Promise<string[]> {
  return (await listAll(client, { kind, scope })).map(({ id }) => id);
}

/** @throws rejection `no_such_host`; `host_hidden` for the token of a tenant, to which hosts are not shown */
async function checkHost({ client }: Session, host: string, found: readonly Listed[]): Promise<void> {
  if (client.principal().scopes !== '*')
    throw reject('host_hidden', 'Only operators see on which host an object is; leave out --host.');
  if (found.length > 0) return;
  const hosts = await listAll(client, { kind: 'host', scope: systemTenant });
  const known = hosts.map(({ id }) => parseActorId(id)?.name).filter((name) => name !== undefined);
  if (known.includes(host)) return;
  throw reject('no_such_host', `There is no host ${host}; ${suggestion(host, known)}`);
}

/** The server's filter by host finds the actors in the shard of a host; other objects name their host in the status. */
async function listed(session: Session, filter: ListOptions, detail: boolean): Promise<Listed[]> {
  const { host, ...others } = filter;
  const readHost = host !== undefined && Object.hasOwn(declaredColumns(filter.kind), 'host');
  const wanted = readHost ? { ...others, detail: true } : { ...filter, ...(detail ? { detail } : {}) };
  const actors = await listAll(session.client, wanted);
  const found = readHost ? actors.filter((actor) => hostOf(actor) === host) : actors;
  if (host !== undefined) await checkHost(session, host, found);
  if (!readHost || detail) return found;
  return found.map(({ spec: _, status: __, ...line }) => line);
}

export async function list(session: Session, filter: ListOptions, output: ListOutput): Promise<void> {
  if (filter.kind !== undefined) checkKind(filter.kind);
  const isTable = output === 'table' || output === 'wide';
  const detail = isTable && filter.held !== true;
  const columns = detail ? columnsFor(filter.kind, output) : [];
  const actors = await listed(session, filter, detail);
  if (filter.held === true) {
    const ids = actors.map(({ id }) => id);
    const held = await readHeld(session.client, ids);
    return isTable ? say(heldText(held, Date.now())) : say(programText(held, output));
  }
  if (!isTable) return say(programText(actors, output));
  const now = Date.now();
  const all = [...listColumns, ...columns, reasonColumn];
  return say(
    textTable(
      all.map(([title]) => title),
      actors.map((actor) => all.map(([, text]) => text(actor, now))),
    ),
  );
}

const programText = (value: unknown, output: ListOutput): string =>
  output === 'yaml' ? yamlText(value) : jsonText(value, 2);

/** The lines are printed one by one, so column widths are fixed: they fit most ids and states. */
function watchLine(what: string, actor: Listed): string {
  const now = Date.now();
  const [id = '', state = '', version = '', , waits = ''] = listColumns.map(([, text]) => text(actor, now));
  const line = `${what.padEnd(8)} ${id.padEnd(36)}  ${state.padEnd(24)}  ${version.padStart(5)}  ${waits.padEnd(12)}`;
  return `${line}  ${actor.reason ?? ''}`.trimEnd();
}

/** A document per object or change: `{type, actor}`, `{type: "synced"}`, `{type: "reset", reason}`. */
function documentsOf(frame: WatchFrame): readonly object[] {
  if ('actors' in frame) return frame.actors.map((actor) => ({ type: 'item', actor }));
  if (frame.type === 'bookmark') return [];
  const { watch: _, n: __, ...rest } = frame;
  return [rest];
}

function sayFrame(frame: WatchFrame, output: ListOutput): void {
  if (output === 'json') for (const document of documentsOf(frame)) say(jsonText(document));
  else if (output === 'yaml') for (const document of documentsOf(frame)) say(`---\n${yamlText(document)}`);
  else if ('actors' in frame) for (const actor of frame.actors) say(watchLine('', actor as Listed));
  else if ('actor' in frame) say(watchLine(frame.type, frame.actor as Listed));
}

/** Prints a line per change until it is interrupted or nobody reads it any more. */
export async function listWatch(session: Session, filter: ListOptions, output: ListOutput): Promise<void> {
  const { kind, scope, ...others } = filter;
  if (kind !== undefined) checkKind(kind);
  const [extra] = Object.keys(others);
  if (extra !== undefined || output === 'wide') {
    const left = extra === undefined ? '-o wide' : `--${extra}`;
    const text = `--watch selects by kind and tenant only, and prints lines, JSON or YAML; leave out ${left}`;
    throw new PhotonError('rejection', 'option_needed', text);
  }
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const only = { ...(kind === undefined ? {} : { kind }), ...(scope === undefined ? {} : { scope }) };
  const watched = output === 'table' ? { ...only, detail: true } : only;
  for await (const frame of session.client.watch(watched, AbortSignal.any([stop.signal, outputClosed])))
    sayFrame(frame, output);
}

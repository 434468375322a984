/**
 * The CLI commands on objects: get, list, describe, delete, wait, events, and commands of one kind. Each sends requests
 * and prints the answer.
 */
import { randomUUID } from 'node:crypto';
import { declaredKinds } from '@photoncloud/machines/kinds';
import { idOf, tenantId } from '@photoncloud/machines/values/identifiers';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { parseActorId } from '@photoncloud/runtime/contract/identifiers';
import { stringify } from 'yaml';
import type { Output } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { describeActor, historyTable } from './describe-actor.ts';
import { heldText, readHeld } from './held-actors.ts';
import { settle } from './settled-state.ts';
import { age, stateWord, textTable } from './text-table.ts';

export interface Listed {
  readonly id: string;
  readonly stateName: string;
  readonly version: number;
  readonly at: number;
  readonly waitingOn: readonly string[];
  readonly held?: string;
  /** With `detail`. */
  readonly spec?: unknown;
  readonly status?: Readonly<Record<string, unknown>>;
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** The id of `vm web-1` in the session's tenant, or of the full id `vm/acme/web-1`. */
export function targetOf(session: Session, kind: string, name: string | undefined): string {
  if (name === undefined) {
    if (parseActorId(kind) === undefined)
      throw new PhotonError('rejection', 'name_needed', `name an object: KIND NAME, or a full id`);
    return kind;
  }
  if (kind === 'tenant') return tenantId(name);
  return idOf(kind, kind === 'host' || kind === 'cluster' ? 'system' : session.tenant(), name);
}

export function printObject(value: unknown, output: Output): void {
  say(output === 'yaml' ? stringify(value).trimEnd() : JSON.stringify(value, null, 2));
}

const listRow = (actor: Listed, now: number): string[] => [
  actor.id,
  actor.held === undefined ? stateWord(actor.stateName) : `${stateWord(actor.stateName)} (${actor.held})`,
  String(actor.version),
  age(actor.at, now),
  actor.waitingOn.join(','),
];
const listHeadings = ['id', 'state', 'version', 'changed', 'waits for'];

/** What a declared kind shows in its lists beside the fields of every actor: title and text of each column. */
function columnsOf(kind: string | undefined): readonly (readonly [string, (actor: Listed) => string])[] {
  const columns = declaredKinds.find((schema) => schema.kind === kind)?.declared?.columns ?? {};
  return Object.entries(columns).map(([title, of]) => [
    title,
    ({ spec, status }) => {
      const value = spec === null || spec === undefined ? null : of(spec as never, status ?? {});
      return value === null || value === undefined ? '-' : String(value);
    },
  ]);
}

export async function get(session: Session, kind: string, name: string | undefined, output: Output): Promise<void> {
  const actor = await session.client.call('actor.get', { id: targetOf(session, kind, name) });
  if (output !== 'table') return printObject(actor, output);
  const { id, stateName, version, waitingOn } = actor as unknown as Listed;
  return say(
    textTable(
      ['id', 'state', 'version', 'waits for'],
      [[id, stateWord(stateName), String(version), waitingOn.join(',')]],
    ),
  );
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

export async function list(session: Session, filter: ListOptions, output: Output): Promise<void> {
  const columns = output === 'table' && filter.held !== true ? columnsOf(filter.kind) : [];
  const actors = await listAll(session.client, { ...filter, ...(columns.length === 0 ? {} : { detail: true }) });
  if (filter.held === true) {
    const ids = actors.map(({ id }) => id);
    const held = await readHeld(session.client, ids);
    return output === 'table' ? say(heldText(held, Date.now())) : printObject(held, output);
  }
  if (output !== 'table') return printObject(actors, output);
  const now = Date.now();
  return say(
    textTable(
      [...listHeadings, ...columns.map(([title]) => title)],
      actors.map((actor) => [...listRow(actor, now), ...columns.map(([, text]) => text(actor))]),
    ),
  );
}

/** The lines are printed one by one, so column widths are fixed: they fit most ids and states. */
function watchLine(what: string, actor: Listed): string {
  const [id = '', state = '', version = '', , waits = ''] = listRow(actor, Date.now());
  return `${what.padEnd(8)} ${id.padEnd(36)}  ${state.padEnd(24)}  ${version.padStart(5)}  ${waits}`.trimEnd();
}

/** Prints a line per change until it is interrupted. */
export async function listWatch(session: Session, filter: ListOptions): Promise<void> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const { kind, scope, ...others } = filter;
  const [extra] = Object.keys(others);
  if (extra !== undefined) {
    throw new PhotonError(
      'rejection',
      'option_needed',
      `--watch selects by kind and tenant only; leave out --${extra}`,
    );
  }
  const watched = { ...(kind === undefined ? {} : { kind }), ...(scope === undefined ? {} : { scope }) };
  for await (const frame of session.client.watch(watched, stop.signal)) {
    if ('actors' in frame) for (const actor of frame.actors) say(watchLine('', actor as Listed));
    else if ('actor' in frame) say(watchLine(frame.type, frame.actor as Listed));
  }
}

export async function describe(session: Session, kind: string, name: string | undefined): Promise<void> {
  say(await describeActor(session.client, targetOf(session, kind, name)));
}

export async function events(session: Session, kind: string, name: string | undefined, limit: number): Promise<void> {
  say(await historyTable(session.client, targetOf(session, kind, name), limit));
}

/** Runs a command of one object and prints its id with `now`, the new state in words. */
export async function commandAndSay(session: Session, id: string, verb: string, now: string, params: object = {}) {
  await command(session, id, verb, params);
  say(`${id} ${now}`);
}

/** Runs a command of one object with its parameters. @returns the command's result */
export async function command(session: Session, id: string, verb: string, params: object): Promise<unknown> {
  const parts = parseActorId(id);
  if (parts === undefined) throw new PhotonError('rejection', 'name_invalid', `${id} is not an object id`);
  const { kind, scope, name } = parts;
  const idempotencyKey = `cli-${Date.now()}-${randomUUID()}`;
  const waitMs = 120_000;
  return session.client.call(`${kind}.${verb}`, { scope, name, idempotencyKey, waitMs, params });
}

export async function remove(session: Session, kind: string, name: string | undefined): Promise<void> {
  const id = targetOf(session, kind, name);
  await commandAndSay(session, id, 'delete', 'deleted');
}

export interface WaitOptions {
  readonly until?: string;
  readonly failing?: boolean;
  readonly timeoutMs: number;
}

export async function wait(session: Session, id: string, { until, ...options }: WaitOptions): Promise<void> {
  const wanted =
    until === undefined
      ? {}
      : { until: new RegExp(`^(?:${until.replace(/[^a-z0-9.,-]/gi, '').replaceAll(',', '|')})$`) };
  const state = await settle(session.client, id, { ...options, onWait: progressLine(), ...wanted });
  say(`${id} ${stateWord(state)}`);
}

/** Shows progress in one line that is overwritten, on a terminal only. */
export function progressLine(): (text: string) => void {
  return (text) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}\r`);
  };
}

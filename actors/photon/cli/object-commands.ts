/**
 * The CLI commands on one object: get, describe, wait, events, and commands of one kind. Each sends requests and prints
 * the answer. Lists are in list-commands.ts.
 */
import { randomUUID } from 'node:crypto';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { parseActorId } from '@photoncloud/runtime/contract/identifiers';
import { suggestion } from '@photoncloud/runtime/contract/suggestion';
import type { Output } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { askWithin, deadlineIn, type Deadline } from './deadline.ts';
import { describeActor, historyTable } from './describe-actor.ts';
import { settle } from './settled-state.ts';
import { nameRule, targetOf } from './targets.ts';
import { jsonText, say, showProgress, yamlText } from './terminal-text.ts';
import { stateWord, textTable } from './text-table.ts';

export function printObject(value: unknown, output: Output): void {
  say(output === 'yaml' ? yamlText(value) : jsonText(value, 2));
}

export async function get(session: Session, kind: string, name: string | undefined, output: Output): Promise<void> {
  const actor = await session.client.call('actor.get', { id: targetOf(session, kind, name) });
  if (output !== 'table') return printObject(actor, output);
  const { id, stateName, version, waitingOn, reason = '' } = actor;
  return say(
    textTable(
      ['id', 'state', 'version', 'waits for', 'reason'],
      [[id, stateWord(stateName), String(version), waitingOn.join(','), reason]],
    ),
  );
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

/** For commands without --timeout. */
const commandS = 120;

/** Runs a command of one object with its parameters. @returns the command's result */
export async function command(
  session: Session,
  id: string,
  verb: string,
  params: object,
  deadline: Deadline = deadlineIn(commandS),
): Promise<unknown> {
  const parts = parseActorId(id);
  if (parts === undefined) throw new PhotonError('rejection', 'name_invalid', `${id} is not an object id: ${nameRule}`);
  const { kind, scope, name } = parts;
  const idempotencyKey = `cli-${Date.now()}-${randomUUID()}`;
  const { waitMs, call } = askWithin(deadline);
  return session.client.call(`${kind}.${verb}`, { scope, name, idempotencyKey, waitMs, params }, call);
}

export interface WaitOptions {
  readonly until?: string;
  readonly failing?: boolean;
  readonly deadline: Deadline;
}

/** @throws rejection `no_such_state` for a state that the kind's chart does not have */
async function statesWanted({ client }: Session, id: string, until: string): Promise<RegExp> {
  const { kinds } = await client.call('kinds.list', {});
  const kind = parseActorId(id)?.kind;
  const states = [...(kinds.find((each) => each.kind === kind)?.states ?? []), 'removed'];
  const names = until.split(',').map((name) => name.trim());
  for (const name of names) {
    if (!states.includes(name))
      throw reject('no_such_state', `${kind} has no state ${name}; ${suggestion(name, states)}`);
  }
  // A state with states inside is reached in any of them.
  return new RegExp(`^(?:${names.map((name) => name.replaceAll('.', '\\.')).join('|')})(?:\\.|$)`);
}

export async function wait(session: Session, id: string, { until, ...options }: WaitOptions): Promise<void> {
  const wanted = until === undefined ? {} : { until: await statesWanted(session, id, until) };
  const state = await settle(session.client, id, { ...options, onWait: showProgress, ...wanted });
  say(`${id} ${stateWord(state)}`);
}

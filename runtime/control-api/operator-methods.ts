/**
 * Methods of operators: pause, resume, skip, redrive and reset an actor, and list dead letters. A verb is sent to the
 * actor like any command, with a key and a receipt; the actor's host carries it out and records it in the history
 * (promise G8 of docs/promises.md). This file only checks that the caller is an operator.
 */
import { parseActorId } from '../contract/identifiers.ts';
import { reject } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';
import { mayTouch, readableId, type Principal } from './access-rule.ts';
import { askActor } from './actor-asking.ts';
import { apiMethods, type ApiResult } from './api-schema.ts';
import { method, type ApiPorts, type Caller, type Method } from './method-table.ts';

type Verb = 'actor.pause' | 'actor.resume' | 'actor.skip' | 'actor.redrive' | 'actor.reset';

interface VerbParams {
  readonly id: string;
  readonly idempotencyKey: string;
  readonly ifVersion?: number | undefined;
  readonly waitMs?: number | undefined;
  readonly reason: string;
}

export function operatorMethods(ports: ApiPorts): Map<string, Method> {
  const verb = (name: Verb): [string, Method] => [
    name,
    {
      params: apiMethods[name].params,
      command: true,
      perform: (params: VerbParams, caller) => performVerb(ports, name, params, caller),
    },
  ];
  return new Map<string, Method>([
    verb('actor.pause'),
    verb('actor.resume'),
    verb('actor.skip'),
    verb('actor.redrive'),
    verb('actor.reset'),
    [
      'deadletters.clear',
      {
        params: apiMethods['deadletters.clear'].params,
        command: true,
        perform: (params: ClearParams, caller) => clearDeadLetters(ports, params, caller),
      },
    ],
    [
      'deadletters.list',
      method(apiMethods['deadletters.list'].params, async ({ id, scope, limit, after = '' }, { principal }) => {
        const actor = id === undefined ? undefined : administrable(principal, 'deadletters.list', id);
        if (!principal.admin) throw forbidden('deadletters.list');
        const deadLetters = (await ports.reader.deadLetters(actor))
          .filter((deadLetter) => deadLetter.deadLetterId > after && isMine(principal, deadLetter, scope))
          .toSorted((a, b) => (a.deadLetterId < b.deadLetterId ? -1 : 1));
        const page = deadLetters.slice(0, limit);
        return {
          deadLetters: page.map(deadLetterOf),
          next: deadLetters.length > limit ? (page.at(-1)?.deadLetterId ?? null) : null,
        };
      }),
    ],
  ]);
}

function performVerb(ports: ApiPorts, name: Verb, params: VerbParams, caller: Caller): Promise<unknown> {
  const { id: text, idempotencyKey, ifVersion, waitMs, ...event } = params;
  const id = administrable(caller.principal, name, text);
  const envelope = { idempotencyKey, ifVersion, waitMs };
  return askActor(ports, caller, { id, method: name, envelope, digested: event, event });
}

interface ClearParams {
  readonly id?: string | undefined;
  readonly scope?: string | undefined;
  readonly idempotencyKey: string;
  readonly reason: string;
}

const clearedAtOnce = 1_000;
/** As many as one verb may name. */
const skippedAtOnce = 256;

/**
 * Has every actor skip its dead letters: each does it in a commit of its own, which says who asked and why. A repeat
 * after a lost answer lists what is still there; the key of each part contains what it drops.
 */
async function clearDeadLetters(
  ports: ApiPorts,
  { id, scope, idempotencyKey, reason }: ClearParams,
  caller: Caller,
): Promise<ApiResult<'deadletters.clear'>> {
  const { principal } = caller;
  const one = id === undefined ? undefined : administrable(principal, 'deadletters.clear', id);
  if (!principal.admin) throw forbidden('deadletters.clear');
  const found = (await ports.reader.deadLetters(one)).filter((deadLetter) => isMine(principal, deadLetter, scope));
  const chosen = found.toSorted((a, b) => (a.deadLetterId < b.deadLetterId ? -1 : 1)).slice(0, clearedAtOnce);
  let cleared = 0;
  let held = 0;
  for (const [actor, all] of Map.groupBy(chosen, (deadLetter) => deadLetter.actor)) {
    const keeper = (await ports.reader.get(actor))?.hold?.deadLetterId;
    const ids = all.map(({ deadLetterId }) => deadLetterId).filter((each) => each !== keeper);
    held += all.length - ids.length;
    for (let from = 0; from < ids.length; from += skippedAtOnce) {
      const deadLetters = ids.slice(from, from + skippedAtOnce);
      const event = { reason, deadLetters };
      const envelope = { idempotencyKey: `${deadLetters[0]}:${idempotencyKey}` };
      await askActor(ports, caller, { id: actor, method: 'actor.skip', envelope, digested: event, event });
      cleared += deadLetters.length;
    }
  }
  return { cleared, held, left: found.length - cleared };
}

/** @throws PhotonError `not_found` for an actor of another scope, `forbidden` for a principal that is no operator */
function administrable(principal: Principal, name: string, text: string): ActorId {
  const { id, parts } = readableId(principal, text);
  if (!mayTouch(principal, parts.scope, 'administer', parts)) throw forbidden(name);
  return id;
}

const forbidden = (name: string): Error => reject('forbidden', `${name} is for operators only; ask an operator.`);

function isMine(principal: Principal, { actor }: StoredDeadLetter, scope: string | undefined): boolean {
  const parts = parseActorId(actor);
  if (parts === undefined || (scope !== undefined && parts.scope !== scope)) return false;
  return mayTouch(principal, parts.scope, 'administer', parts);
}

function deadLetterOf({
  place: _,
  from,
  trace,
  ...deadLetter
}: StoredDeadLetter): ApiResult<'deadletters.list'>['deadLetters'][number] {
  return { ...deadLetter, ...(from === undefined ? {} : { from }), ...(trace === undefined ? {} : { trace }) };
}

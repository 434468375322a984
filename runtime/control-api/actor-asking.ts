/**
 * Asks one actor on behalf of a caller and waits for the answer. Called by the methods of kinds and of operators.
 * Promises: a key is answered once (the receipt stands behind `ask`); no answer in time is `unknown`, never a failure.
 */
import { hash } from 'node:crypto';
import type { Durability } from '../contract/durability.ts';
import type { Reply } from '../contract/envelope.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { notFound } from './access-rule.ts';
import type { CommandResult } from './api-schema.ts';
import type { ApiPorts, Caller } from './method-table.ts';

export interface Asking {
  readonly id: ActorId;
  readonly method: string;
  readonly envelope: {
    readonly idempotencyKey: string;
    readonly ifVersion?: number | undefined;
    readonly waitMs?: number | undefined;
    readonly durability?: Durability | undefined;
  };
  /** What must be the same under the same key. */
  readonly digested: unknown;
  /** The event without its type, which is the method. */
  readonly event: Readonly<Record<string, unknown>>;
  readonly before?: () => Promise<void>;
}

/** @throws PhotonError what the actor refuses with; `unknown` when there is no answer in time */
export async function askActor(ports: ApiPorts, caller: Caller, asking: Asking): Promise<CommandResult> {
  const { id, method, event, digested, envelope } = asking;
  const { principal, trace } = caller;
  const { idempotencyKey, ifVersion, durability } = envelope;
  const waitMs = Math.min(envelope.waitMs ?? ports.limits.commandWaitMs, ports.limits.maxCommandWaitMs);
  const reply = await answerWithin(ports, waitMs, id, async () => {
    await asking.before?.();
    return await ports.ask({
      to: id,
      // Principals choose their keys independently, and receipts are kept per actor.
      commandId: `${principal.name}:${idempotencyKey}`,
      digest: digestOf(method, digested, ifVersion),
      principal: principal.name,
      event: { ...event, type: method },
      trace,
      ...(ifVersion === undefined ? {} : { ifVersion }),
      ...(durability === undefined ? {} : { durability }),
    });
  });
  if (reply.ok) {
    const reached = reply.durability === undefined ? {} : { durability: reply.durability };
    return { id, version: reply.version, result: reply.result ?? null, ...reached };
  }
  const { error } = reply;
  // The same words as for a foreign actor, whatever the host says.
  if (error.code === 'no_such_actor' || error.code === 'not_found') throw notFound(id);
  throw new PhotonError(error.group, error.code, error.message, { ...error, actor: id });
}

function answerWithin(ports: ApiPorts, waitMs: number, to: ActorId, ask: () => Promise<Reply>): Promise<Reply> {
  return new Promise((resolve, reject_) => {
    const settle = (): void => {
      cancel();
      ports.waits.delete(giveUp);
    };
    const giveUp = (): void => {
      settle();
      const text = `${to} has not answered within ${waitMs} ms; ask again with the same idempotencyKey.`;
      reject_(new PhotonError('unknown', 'unknown', text, { public: true, retryable: true, actor: to }));
    };
    const cancel = ports.clock.after(waitMs, giveUp);
    ports.waits.add(giveUp);
    ask().then(
      (reply) => {
        settle();
        resolve(reply);
      },
      (error: unknown) => {
        settle();
        reject_(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

/** The same method and params give the same digest, whatever the order of keys. */
function digestOf(method: string, params: unknown, ifVersion: number | undefined): string {
  return hash('sha256', canonical([method, params ?? null, ifVersion ?? null]), 'base64url');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, child]) => `${JSON.stringify(key)}:${canonical(child)}`).join(',')}}`;
}

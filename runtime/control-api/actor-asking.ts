/**
 * Sends a command to one actor for a caller and waits for the reply. Called by the methods of kinds and of operators.
 * Promises: a key gets one answer (the receipt is kept behind `ask`); no reply in time is `unknown`, never a failure.
 */
import { hash } from 'node:crypto';
import type { Durability } from '../contract/durability.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import { PhotonError, type ErrorRecord } from '../contract/errors.ts';
import { asDryRun } from '../contract/supervision.ts';
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
  /** The part of the request that must be equal when the same key is sent again. */
  readonly digested: unknown;
  /** The event without its type, which is the method. */
  readonly event: Readonly<Record<string, unknown>>;
  readonly before?: () => Promise<void>;
  /** Only asks what the command would do. */
  readonly dryRun?: boolean;
}

/** @throws PhotonError the actor's refusal; `unknown` when there is no reply in time */
export function askActor(
  ports: Pick<ApiPorts, 'ask' | 'limits' | 'clock' | 'waits'>,
  caller: Pick<Caller, 'principal' | 'trace'>,
  asking: Asking,
): Promise<CommandResult> {
  const { id, envelope, before } = asking;
  const command = commandOf(caller, asking);
  const waitMs = Math.min(envelope.waitMs ?? ports.limits.commandWaitMs, ports.limits.maxCommandWaitMs);
  return new Promise((resolve, reject_) => {
    const settle = (): void => {
      cancel();
      ports.waits.take(wait);
    };
    const giveUp = (): void => {
      settle();
      const text = `${id} has not answered within ${waitMs} ms; ask again with the same idempotencyKey.`;
      reject_(new PhotonError('unknown', 'unknown', text, { public: true, retryable: true, actor: id }));
    };
    const fail = (error: unknown): void => {
      settle();
      reject_(error instanceof Error ? error : new Error(String(error)));
    };
    const cancel = ports.clock.after(waitMs, giveUp);
    const wait = ports.waits.add(giveUp);
    const asked = before === undefined ? ports.ask(command) : before().then(() => ports.ask(command));
    asked.then((reply) => {
      settle();
      if (reply.ok) resolve(resultOf(id, reply));
      else reject_(refusalOf(id, reply.error));
    }, fail);
  });
}

/** No client's key has a space: the key of a dry run can be used for the command itself. */
const dryRunKey = 'dry-run ';

function commandOf({ principal, trace }: Pick<Caller, 'principal' | 'trace'>, asking: Asking): Command {
  const { id, method, event, digested, envelope, dryRun = false } = asking;
  const whole = { ...event, type: method };
  const { idempotencyKey, ifVersion, durability } = envelope;
  return {
    to: id,
    // Principals choose keys independently of each other, and receipts are kept per actor.
    commandId: `${principal.name}:${dryRun ? dryRunKey : ''}${idempotencyKey}`,
    digest: digestOf(method, digested, ifVersion),
    principal: principal.name,
    event: dryRun ? asDryRun(whole) : whole,
    trace,
    ...(ifVersion === undefined ? {} : { ifVersion }),
    ...(durability === undefined ? {} : { durability }),
  };
}

function resultOf(id: ActorId, reply: Reply & { readonly ok: true }): CommandResult {
  const reached = reply.durability === undefined ? {} : { durability: reply.durability };
  return { id, version: reply.version, result: reply.result ?? null, ...reached };
}

function refusalOf(id: ActorId, error: ErrorRecord): PhotonError {
  // The same text as for an actor of another scope, whatever the host answered.
  if (error.code === 'no_such_actor' || error.code === 'not_found') return notFound(id);
  return new PhotonError(error.group, error.code, error.message, { ...error, actor: id });
}

/** The same method and params give the same digest, whatever the order of keys. */
function digestOf(method: string, params: unknown, ifVersion: number | undefined): string {
  return hash('sha256', canonical([method, params ?? null, ifVersion ?? null]), 'base64url');
}

/** JSON with the keys of every object in order. */
function canonical(value: unknown): string {
  if (isInOrder(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const fields = Object.entries(value as object).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, child]) => `${JSON.stringify(key)}:${canonical(child)}`).join(',')}}`;
}

/** Whether the keys of every object are already in order, so that JSON.stringify is canonical. */
function isInOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isInOrder);
  let last = '';
  for (const key in value) {
    if (key < last || !isInOrder((value as Record<string, unknown>)[key])) return false;
    last = key;
  }
  return true;
}

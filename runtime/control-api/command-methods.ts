/**
 * The `<kind>.<command>` methods, made from the registry: validate the params, check scope and references, send the
 * command to the actor (actor-asking.ts). The actor's chart decides about it; this file refuses what no chart should
 * have to handle.
 */
import type { ActorDefinition, ActorRegistry, CommandDefinition, Reference } from '../contract/actor-definition.ts';
import { PhotonError, reject, type Issue } from '../contract/errors.ts';
import { parseActorId, partsOf, type ActorId, type ActorIdParts } from '../contract/identifiers.ts';
import { mayTouch, notFound } from './access-rule.ts';
import { viewOf } from './actor-view.ts';
import { askActor, type Asking } from './actor-asking.ts';
import { issuesOf, paramsInvalid } from './api-problem.ts';
import { commandEnvelope, type CommandResult } from './api-schema.ts';
import type { ApiPorts, Caller, Method } from './method-table.ts';
import { hasSecrets, sealParams } from './secret-params.ts';
import { keyForm, wordForm } from './wire-terms.ts';

type Envelope = { [K in keyof ReturnType<typeof commandEnvelope.parse>]: ReturnType<typeof commandEnvelope.parse>[K] };

/**
 * Event fields that the host sets, and the fields of the envelope: an issue names a field by its path from the root of
 * the command, whether it is of the envelope or of the params.
 */
const reserved = ['type', 'meta', ...Object.keys(commandEnvelope.shape)];

export function commandMethods(ports: ApiPorts): Map<string, Method> {
  const methods = new Map<string, Method>();
  for (const definition of ports.registry.kinds.values()) {
    for (const [name, command] of Object.entries(definition.commands)) {
      refuseReservedFields(definition, name, command);
      const method = `${definition.kind}.${name}`;
      methods.set(method, {
        params: commandEnvelope,
        isValid: isEnvelope,
        command: true,
        perform: (envelope: Envelope, caller) => performCommand(ports, definition, command, method, envelope, caller),
      });
    }
  }
  return methods;
}

/** The ports that a command needs. */
export type CommandPorts = Pick<ApiPorts, 'registry' | 'reader' | 'ask' | 'secrets' | 'limits' | 'clock' | 'waits'>;

/** Who sends a command. */
export type Sender = Pick<Caller, 'principal' | 'trace'>;

/**
 * Sends a command that no client sent, on the same way: params, permissions, references, secrets and receipts are those
 * of the control API. @throws PhotonError as the method does
 */
export function sendCommand(
  ports: CommandPorts,
  sender: Sender,
  method: string,
  envelope: Envelope,
): Promise<CommandResult> {
  const [kind = '', name = ''] = method.split('.');
  const definition = ports.registry.kinds.get(kind);
  const command = definition?.commands[name];
  if (definition === undefined || command === undefined)
    throw new PhotonError('bug', 'method_unknown', `there is no method ${method}`);
  return performCommand(ports, definition, command, method, envelope, sender);
}

/**
 * A hand-written check of the common form of the envelope, because parsing with `commandEnvelope` takes ten times as
 * long. A test compares it with the schema.
 */
export function isEnvelope(params: object): boolean {
  const { scope, name, idempotencyKey, params: own } = params as Readonly<Record<string, unknown>>;
  return (
    own !== undefined &&
    Object.keys(params).length === 4 &&
    typeof scope === 'string' &&
    wordForm.test(scope) &&
    typeof name === 'string' &&
    name.length > 0 &&
    name.length <= 130 &&
    typeof idempotencyKey === 'string' &&
    keyForm.test(idempotencyKey)
  );
}

export const isCommand = (registry: ActorRegistry, method: string): boolean => {
  const [kind = '', name = ''] = method.split('.');
  const commands = registry.kinds.get(kind)?.commands;
  return commands !== undefined && Object.hasOwn(commands, name);
};

function refuseReservedFields(definition: ActorDefinition, name: string, command: CommandDefinition): void {
  const shape: unknown = (command.params as { shape?: unknown }).shape;
  for (const field of reserved) {
    if (typeof shape === 'object' && shape !== null && Object.hasOwn(shape, field)) {
      throw new PhotonError(
        'bug',
        'reserved_field',
        `${definition.kind}.${name} has a param ${field}, which is reserved; rename it.`,
      );
    }
  }
}

function performCommand(
  ports: CommandPorts,
  definition: ActorDefinition,
  command: CommandDefinition,
  method: string,
  envelope: Envelope,
  caller: Sender,
): Promise<CommandResult> {
  const { principal } = caller;
  const { scope } = envelope;
  const text = `${definition.kind}/${scope}/${envelope.name}`;
  if (!mayTouch(principal, scope, 'command')) throw notFound(text);
  const parts = namedActor(definition, method, text);
  if (definition.scope !== undefined && definition.scope !== scope)
    throw paramsInvalid(method, [{ path: 'scope', message: `must be ${definition.scope}` }]);
  if (command.permission === 'admin' && !mayTouch(principal, scope, 'administer', parts)) {
    throw reject('forbidden', `${method} is for operators only; ask an operator.`);
  }
  const parsed = command.params.safeParse(envelope.params ?? {});
  if (!parsed.success) throw paramsInvalid(method, issuesOf(parsed.error));
  const id = text as ActorId;
  const event = parsed.data as Record<string, unknown>;
  refuseRestricted(command, event, mayTouch(principal, scope, 'administer', parts));
  const asking = { id, method, envelope, digested: envelope.params, event, dryRun: envelope.dryRun === true };
  if (!hasSecrets(command, event)) return askChecked(ports, caller, command, asking);
  return sealParams(ports, command, id, event).then((sealed) =>
    // The digest goes into the store too.
    askChecked(ports, caller, command, { ...asking, event: sealed, digested: sealed }),
  );
}

/** @throws PhotonError `forbidden` with the fields that take an operator */
function refuseRestricted(command: CommandDefinition, event: Record<string, unknown>, isOperator: boolean): void {
  const issues = isOperator ? [] : (command.operatorsOnly?.(event as never) ?? []);
  const [first] = issues;
  if (first !== undefined) throw reject('forbidden', `${first.path}: ${first.message}`, issues);
}

function askChecked(ports: CommandPorts, caller: Sender, command: CommandDefinition, asking: Asking) {
  const { id, event } = asking;
  const references = command.references?.(event as never, id) ?? [];
  if (references.length === 0) return askActor(ports, caller, asking);
  // The check runs within the time limit of the answer, because reads wait while the store is unreachable.
  const before = (): Promise<void> => checkReferences(ports, caller, partsOf(id).scope, references);
  return askActor(ports, caller, { ...asking, before });
}

function namedActor(definition: ActorDefinition, method: string, text: string): ActorIdParts {
  const parts = parseActorId(text);
  const wanted = definition.placement === 'pinned' ? 'a name and its host, such as web-1@w1' : 'a name such as web-1';
  if (parts === undefined || (parts.host !== undefined) !== (definition.placement === 'pinned')) {
    throw paramsInvalid(method, [{ path: 'name', message: `must be ${wanted}: a-z, 0-9 and inner hyphens` }]);
  }
  return parts;
}

/**
 * @throws PhotonError `reference_not_found`, the same for an actor of another scope, for one that does not serve this
 *   scope, and for one that does not exist; `reference_unfit` for an actor that the field cannot name
 */
async function checkReferences(
  { reader, registry }: Pick<ApiPorts, 'reader' | 'registry'>,
  caller: Sender,
  scope: string,
  references: readonly Reference[],
): Promise<void> {
  const judged = await Promise.all(
    references.map(async ({ path, to, misfit, grants }) => {
      const parts = parseActorId(to);
      const verb = grants === undefined ? 'refer' : 'use';
      const allowed = parts !== undefined && mayTouch(caller.principal, scope, verb, parts);
      const stored = allowed ? await reader.get(to) : undefined;
      const where = grants === undefined ? `in ${scope}` : `that ${scope} may use`;
      const absent = { path, message: `there is no ${to} ${where}`, isMissing: true };
      if (stored?.status !== 'live') return absent;
      const { spec } = viewOf(stored, { registry, isOperator: caller.principal.admin });
      if (grants?.(spec, scope) === false) return absent;
      const why = misfit?.(spec);
      return why === undefined ? [] : { path, message: `${to} ${why}`, isMissing: false };
    }),
  );
  const problems = judged.flat();
  const those = (missing: boolean): readonly Issue[] =>
    problems.filter(({ isMissing }) => isMissing === missing).map(({ path, message }) => ({ path, message }));
  const [absent] = those(true);
  if (absent !== undefined)
    throw reject(
      'reference_not_found',
      `${absent.path}: ${absent.message}; create it first or correct the name.`,
      those(true).slice(0, 32),
    );
  const [unfit] = those(false);
  if (unfit === undefined) return;
  throw reject('reference_unfit', `${unfit.path}: ${unfit.message}; name another.`, those(false).slice(0, 32));
}

/**
 * Methods that read: kinds, actors, lists, the schemas. They read committed state through the Reader port, restricted
 * by the access rule. Watches are in watch-methods.ts, history in history-methods.ts.
 */
import type { ActorDefinition } from '../contract/actor-definition.ts';
import type { ActorSummary, ActorFilter } from '../contract/reader.ts';
import { partsOf, type ActorId } from '../contract/identifiers.ts';
import { mayTouch, notFound, readableId, type Principal } from './access-rule.ts';
import { detailedOf, objectOf, summaryOf } from './actor-view.ts';
import { apiMethods, type ApiResult, type ListedActor } from './api-schema.ts';
import { method, type ApiPorts, type Method } from './method-table.ts';
import { jsonSchemaOf, schemaBundle } from './schema-documents.ts';
import { checkSelection, statesOf } from './selection-check.ts';

/** How many reads of one request run concurrently. */
const readsAtOnce = 16;

export function readMethods(ports: ApiPorts): Map<string, Method> {
  const { reader, registry, clock, limits, passes } = ports;
  const shape = apiMethods;
  return new Map<string, Method>([
    ['ping', method(shape.ping.params, () => ({ at: clock.wallMs() }))],
    ['rpc.discover', method(shape['rpc.discover'].params, () => schemaBundle(registry, limits))],
    ['kinds.list', method(shape['kinds.list'].params, () => ({ kinds: [...registry.kinds.values()].map(kindOf) }))],
    [
      'auth.secret',
      method(shape['auth.secret'].params, ({ ttlMs = limits.secretTtlMs }, { principal }) => ({
        secret: passes.mintSecret(principal, ttlMs),
        expiresInMs: ttlMs,
      })),
    ],
    [
      'actor.get',
      method(shape['actor.get'].params, async ({ id: text }, { principal }) => {
        const { id, parts } = readableId(principal, text);
        const stored = registry.kinds.has(parts.kind) ? await reader.get(id) : undefined;
        if (stored === undefined) throw notFound(text);
        return objectOf(stored, registry);
      }),
    ],
    [
      'actor.list',
      method(shape['actor.list'].params, async (params, { principal }): Promise<ApiResult<'actor.list'>> => {
        checkSelection(registry, params);
        const { limit, after = '', detail = false } = params;
        const allows = (id: ActorId): boolean => isReadable(principal, { id });
        // One item more than requested shows whether there is a next page.
        const { items, cursor } = await reader.list(filterOf(principal, params), { after, limit: limit + 1, allows });
        const page = items.slice(0, limit);
        const lines = detail ? await detailed(ports, page) : page.map(summaryOf);
        return { actors: lines, cursor, next: items.length > limit ? (page.at(-1)?.id ?? null) : null };
      }),
    ],
  ]);
}

export const isReadable = (principal: Principal, { id }: Pick<ActorSummary, 'id'>): boolean => {
  const parts = partsOf(id);
  return mayTouch(principal, parts.scope, 'read', parts);
};

interface Selection {
  readonly kind?: string | undefined;
  readonly scope?: string | undefined;
  readonly state?: string | undefined;
  readonly host?: string | undefined;
  readonly search?: string | undefined;
  readonly held?: boolean | undefined;
}

/** @throws PhotonError `not_found` for a scope that the principal may not read */
export function filterOf(principal: Principal, { kind, scope, state, host, search, held }: Selection): ActorFilter {
  if (scope !== undefined && !mayTouch(principal, scope, 'read')) throw notFound(`scope ${scope}`);
  const only = principal.scopes !== '*' && principal.scopes.length === 1 ? principal.scopes[0] : undefined;
  const wanted = scope ?? only;
  return {
    ...(kind === undefined ? {} : { kind }),
    ...(wanted === undefined ? {} : { scope: wanted }),
    ...(state === undefined ? {} : { state }),
    ...(host === undefined ? {} : { host }),
    ...(search === undefined ? {} : { search }),
    ...(held === undefined ? {} : { held }),
  };
}

async function detailed(ports: ApiPorts, page: readonly ActorSummary[]): Promise<ListedActor[]> {
  const lines: ListedActor[] = [];
  for (let at = 0; at < page.length; at += readsAtOnce) {
    const some = page.slice(at, at + readsAtOnce);
    const read = await Promise.all(some.map((item) => detailedOf(item, ports.reader, ports.registry)));
    lines.push(...read.filter((line) => line !== undefined));
  }
  return lines;
}

function kindOf(definition: ActorDefinition): ApiResult<'kinds.list'>['kinds'][number] {
  const { kind, chartVersion, placement } = definition;
  const commands = Object.entries(definition.commands).map(([name, command]) => ({
    name,
    method: `${kind}.${name}`,
    creates: command.creates === true,
    permission: command.permission,
    description: command.description,
    params: jsonSchemaOf(command.params),
  }));
  return { kind, chartVersion, placement, states: statesOf(definition), commands };
}

/**
 * Methods that read: kinds, actors, lists, the schemas. They read committed state through the Reader port, restricted
 * by the access rule. Watches are in watch-methods.ts, history in history-methods.ts.
 */
import { z } from 'zod';
import type { ActorDefinition, OutputPlace } from '../contract/actor-definition.ts';
import { reject } from '../contract/errors.ts';
import type { ActorSummary, ActorFilter } from '../contract/reader.ts';
import { partsOf, type ActorId } from '../contract/identifiers.ts';
import { mayTouch, notFound, readableId, type Principal } from './access-rule.ts';
import { detailedOf, objectOf, summaryOf } from './actor-view.ts';
import { apiMethods, factsSchema, type ApiResult, type ListedActor } from './api-schema.ts';
import { consoleUpgradePath, tokenMs as consoleTokenMs } from './console-door.ts';
import { method, ReadyResult, type ApiPorts, type Method } from './method-table.ts';
import { jsonSchemaOf, schemaBundle } from './schema-documents.ts';
import { checkSelection, statesOf } from './selection-check.ts';

/** How many reads of one request run concurrently. */
const readsAtOnce = 16;
/** What a read token pays for in a list: ids of the index that were looked at, actors that were read whole. */
export const scannedPerToken = 1_000;
const detailsPerToken = 10;

export function readMethods(ports: ApiPorts): Map<string, Method> {
  const { reader, registry, clock, limits, passes } = ports;
  const bundle = once(() => new ReadyResult(schemaBundle(registry, limits)));
  const kinds = once(() => new ReadyResult({ kinds: [...registry.kinds.values()].map(kindOf) }));
  const shape = apiMethods;
  return new Map<string, Method>([
    ['ping', method(shape.ping.params, () => ({ at: clock.sharedMs() }))],
    ['rpc.discover', method(shape['rpc.discover'].params, bundle)],
    ['kinds.list', method(shape['kinds.list'].params, kinds)],
    [
      'auth.secret',
      method(shape['auth.secret'].params, ({ ttlMs = limits.secretTtlMs }, { principal, browser }) => ({
        secret: passes.mintSecret(principal, ttlMs, browser),
        expiresInMs: ttlMs,
      })),
    ],
    [
      'actor.get',
      method(shape['actor.get'].params, async ({ id: text }, { principal }) => {
        const { id, parts } = readableId(principal, text);
        const stored = registry.kinds.has(parts.kind) ? await reader.get(id) : undefined;
        if (stored === undefined) throw notFound(text);
        return objectOf(stored, { registry, isOperator: principal.admin });
      }),
    ],
    [
      'actor.output',
      method(shape['actor.output'].params, async ({ id: text }, { principal }) => {
        const { place } = await outputOf(ports, principal, text);
        return { node: place.node, text: await ports.readOutput(place) };
      }),
    ],
    [
      'actor.figures',
      method(shape['actor.figures'].params, async ({ id: text }, { principal }) => {
        const { id, kind, stored } = await placedOf(ports, principal, text);
        const places = kind?.figures?.(id, stored.context as never) ?? [];
        const ownWords = kind?.facts?.(id, stored.context as never) ?? null;
        if (places.length === 0 && ownWords === null)
          throw reject('no_figures', `${id} has no figures: it is on no node yet, or its kind has none.`);
        const [figures, facts] = await Promise.all([
          allRead(places.map(async (place) => await readFrom(ports, place, figuresSchema))),
          allRead(ownWords === null ? [] : [readFrom(ports, ownWords, factsSchema)]),
        ]);
        return {
          figures: Object.assign({}, ...figures.read) as Record<string, number>,
          facts: facts.read.flat(),
          complete: figures.complete && facts.complete,
        };
      }),
    ],
    [
      'actor.console',
      method(shape['actor.console'].params, async ({ id: text }, { principal, browser }) => {
        const { id, place } = await outputOf(ports, principal, text);
        if (!mayTouch(principal, partsOf(id).scope, 'command', partsOf(id))) throw notFound(text);
        const token = ports.consoles.mint({ principal, browser }, id, place);
        return { token, expiresInMs: consoleTokenMs, path: consoleUpgradePath };
      }),
    ],
    [
      'actor.list',
      method(shape['actor.list'].params, async (params, caller): Promise<ApiResult<'actor.list'>> => {
        const { principal } = caller;
        checkSelection(registry, params);
        const { limit, after = '', detail = false } = params;
        const allows = (id: ActorId): boolean => isReadable(principal, { id });
        // One item more than requested shows whether there is a next page.
        const filter = filterOf(principal, params);
        const { items, cursor, scanned = 0 } = await reader.list(filter, { after, limit: limit + 1, allows });
        caller.charge(scanned / scannedPerToken + (detail ? items.length / detailsPerToken : 0));
        const page = items.slice(0, limit);
        const lines = detail ? await detailed(ports, principal, page) : page.map(summaryOf);
        return { actors: lines, cursor, next: items.length > limit ? (page.at(-1)?.id ?? null) : null };
      }),
    ],
  ]);
}

/** An object that may have something on nodes. @throws rejection `not_found` */
async function placedOf({ reader, registry }: ApiPorts, principal: Principal, text: string) {
  const { id, parts } = readableId(principal, text);
  const kind = registry.kinds.get(parts.kind);
  const stored = kind === undefined ? undefined : await reader.get(id);
  if (stored === undefined || stored.status === 'removed') throw notFound(text);
  return { id, kind, stored };
}

const figuresSchema = z.record(z.string(), z.number());

/** @throws when the node does not answer, or answers something else */
const readFrom = async <T>({ readOutput }: ApiPorts, place: OutputPlace, schema: z.ZodType<T>): Promise<T> =>
  schema.parse(JSON.parse(await readOutput(place)));

/** Not complete: a node did not answer. */
async function allRead<T>(asked: readonly Promise<T>[]): Promise<{ read: readonly T[]; complete: boolean }> {
  const answers = await Promise.allSettled(asked);
  const read = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  return { read, complete: read.length === asked.length };
}

/** Where an object prints. @throws rejection `not_found`, `no_output` */
async function outputOf(ports: ApiPorts, principal: Principal, text: string) {
  const { id, kind, stored } = await placedOf(ports, principal, text);
  const place = kind?.output?.(id, stored.context as never) ?? null;
  if (place === null) throw reject('no_output', `${id} has printed nothing: it has not run, or its kind never prints.`);
  return { id, place };
}

/** The result of the first call, for all calls. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
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

async function detailed(
  { reader, registry }: ApiPorts,
  { admin: isOperator }: Principal,
  page: readonly ActorSummary[],
): Promise<ListedActor[]> {
  const lines: ListedActor[] = [];
  for (let at = 0; at < page.length; at += readsAtOnce) {
    const some = page.slice(at, at + readsAtOnce);
    const read = await Promise.all(some.map((item) => detailedOf(item, reader, { registry, isOperator })));
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

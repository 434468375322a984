/**
 * The objects of a desired state and what can be wrong with them as a set: references, cycles, other tenants, secrets,
 * names that are used twice. Pure; the schema of each object is checked where it is parsed. Every problem has the path
 * of the field in the document and says what to do next.
 */
import { declaredKinds } from '../kinds.ts';
import { idOf, systemTenant } from '../values/identifiers.ts';
import type { KindSchema } from '../values/kind.ts';
import type { Issue } from '../values/telling.ts';

/** An object as it is declared, with the defaults of everything that was left out. */
export interface DesiredObject {
  readonly kind: string;
  readonly tenant: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protect: boolean;
  readonly spec: Readonly<Record<string, unknown>>;
  /** What becomes of it once it is not declared any more and its deployment prunes. */
  readonly deletionPolicy: 'delete' | 'retain';
  /** Its name until now, or null. */
  readonly movedFrom: string | null;
}

export const desiredId = ({ kind, tenant, name }: Pick<DesiredObject, 'kind' | 'tenant' | 'name'>): string =>
  idOf(kind, tenant, name);

/** Every tenant has a VPC and a group from its beginning; whoever makes the tenant may declare them. */
export const isMadeWithTenant = (id: string): boolean => /^(vpc\/[^/]+\/main|security-group\/[^/]+\/default)$/.test(id);

const schemas: ReadonlyMap<string, KindSchema> = new Map(declaredKinds.map((schema) => [schema.kind, schema]));

interface NamedObject {
  /** Dotted, from the document. */
  readonly path: string;
  readonly id: string;
}

/** Objects that this one names, and its tenant, whether they are of the set or not. */
export function namedBy({ kind, tenant, spec }: Pick<DesiredObject, 'kind' | 'tenant' | 'spec'>): NamedObject[] {
  const declared = schemas.get(kind)?.declared;
  if (declared === undefined) return [];
  const named = declared.references(spec as never).map(({ path, kind: of, name, grants }) => ({
    path: `spec.${path}`,
    id: idOf(of, grants === undefined ? tenant : systemTenant, name),
  }));
  const isOwned = declared.parents.includes('tenant') && tenant !== systemTenant;
  return isOwned ? [{ path: 'tenant', id: idOf('tenant', tenant, tenant) }, ...named] : named;
}

/** Objects that it is made from: it comes after them, and outlives them. */
export function sourcesOf({ kind, tenant, spec }: Pick<DesiredObject, 'kind' | 'tenant' | 'spec'>): string[] {
  const made = schemas.get(kind)?.declared?.madeFrom?.(spec as never) ?? [];
  return made.map((one) => idOf(one.kind, tenant, one.name));
}

/** In the order of the kinds' dependencies, for objects that do not name each other. */
export const rankOf = (kind: string): number => [...schemas.keys()].indexOf(kind);

/** A cycle of objects that name each other, each once; undefined without one. */
export function cycleIn(objects: readonly DesiredObject[]): readonly string[] | undefined {
  const byId = new Map(objects.map((one) => [desiredId(one), one]));
  const done = new Set<string>();
  const search = (id: string, way: readonly string[]): readonly string[] | undefined => {
    const at = way.indexOf(id);
    if (at >= 0) return way.slice(at);
    const object = byId.get(id);
    if (object === undefined || done.has(id)) return undefined;
    for (const { id: next } of namedBy(object)) {
      const found = next === id ? undefined : search(next, [...way, id]);
      if (found !== undefined) return found;
    }
    done.add(id);
    return undefined;
  };
  for (const id of byId.keys()) {
    const found = search(id, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The level of each object: above those of everything in the set that it names.
 * @param named ids by object; the set has no cycle
 */
export function levelsOf(named: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, number> {
  const levels = new Map<string, number>();
  const levelOf = (id: string, way: readonly string[]): number => {
    const known = levels.get(id);
    if (known !== undefined) return known;
    const below = (named.get(id) ?? []).filter((one) => one !== id && named.has(one) && !way.includes(one));
    const level = below.reduce((highest, one) => Math.max(highest, levelOf(one, [...way, id]) + 1), 0);
    levels.set(id, level);
    return level;
  };
  for (const id of named.keys()) levelOf(id, []);
  return levels;
}

const secretAt = (spec: unknown, path: string): boolean => {
  let value = spec;
  for (const field of path.split('.'))
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[field] : undefined;
  return typeof value === 'string';
};

function issuesOfOne(object: DesiredObject, at: string, tenant: string | null): readonly Issue[] {
  const { kind, name, spec, movedFrom } = object;
  const schema = schemas.get(kind);
  const issues: Issue[] = [];
  const say = (path: string, message: string): unknown => issues.push({ path: `${at}.${path}`, message });
  if (kind === 'deployment') say('kind', 'a deployment cannot declare another one; declare it with photon apply');
  if (tenant !== null && object.tenant !== tenant)
    say(
      'tenant',
      `is ${object.tenant}, and this deployment is of tenant ${tenant}; leave it out, or use a deployment there`,
    );
  for (const path of schema?.secrets ?? []) {
    if (secretAt(spec, path))
      say(`spec.${path}`, 'is a secret, which a deployment would store; apply this object by photon apply -f instead');
  }
  if (movedFrom === name) say('movedFrom', 'names the object itself; remove it');
  return issues;
}

/**
 * Everything that is wrong with the set.
 * @param tenant the only one whose objects it may hold; null: all tenants
 */
export function issuesOfSet(objects: readonly DesiredObject[], tenant: string | null): readonly Issue[] {
  const issues: Issue[] = objects.flatMap((object, at) => issuesOfOne(object, `objects.${at}`, tenant));
  const places = new Map<string, number>();
  objects.forEach((object, at) => {
    const id = desiredId(object);
    const first = places.get(id);
    if (first === undefined) places.set(id, at);
    else issues.push({ path: `objects.${at}.name`, message: `${id} is declared by objects.${first}, too; remove one` });
  });
  objects.forEach(({ kind, tenant: of, movedFrom }, at) => {
    const old = movedFrom === null ? undefined : places.get(idOf(kind, of, movedFrom));
    if (old === undefined) return;
    const message = `${movedFrom} is still declared by objects.${old}; remove that object, or movedFrom`;
    issues.push({ path: `objects.${at}.movedFrom`, message });
  });
  const cycle = cycleIn(objects);
  if (cycle === undefined) return issues;
  const way = [...cycle, cycle[0]].join(' -> ');
  const at = places.get(cycle[0] ?? '') ?? 0;
  const path = namedBy(objects[at] as DesiredObject).find(({ id }) => id === cycle[1 % cycle.length])?.path ?? 'spec';
  const message = `objects name each other in a circle, so none can be first: ${way}; take one of these references out`;
  return [...issues, { path: `objects.${at}.${path}`, message }];
}

/**
 * The planner: what is to be done so that the objects of a tenant are as a desired state says. A pure function of the
 * desired objects and of what was read; the deployer reads, and carries the plan out. Upholds: only what the deployment
 * manages is changed or deleted, and what it does not manage is taken over only when that was asked for; a plan of what
 * is already so has no step but no-op.
 *
 * Order: first everything that is created or changed, an object after those that it names; then what is deleted, an
 * object before those that it names. So a reference is moved away before its old target goes.
 */
import { declaredKinds } from '../kinds.ts';
import type { Owned, PlanStep } from '../plan/plan-protocol.ts';
import { sameJson } from '../values/failures.ts';
import { idOf, partsOfId, tenantId } from '../values/identifiers.ts';
import type { SpecChange } from '../values/kind.ts';
import { specChanges } from '../values/spec-changes.ts';
import type { Loss } from './deployment-protocol.ts';
import {
  desiredId,
  isMadeWithTenant,
  levelsOf,
  namedBy,
  rankOf,
  sourcesOf,
  type DesiredObject,
} from './desired-objects.ts';

/** An object as it was read. */
export interface LiveObject {
  readonly id: string;
  /** Changes with every declaration: spec, labels, protection, manager. */
  readonly base: string;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly protect: boolean;
  readonly managedBy: string | null;
  readonly stateName: string;
  /** What a host has lost of it. */
  readonly loss: Omit<Loss, 'id'> | null;
}

export interface PlanInput {
  /** Actor id. */
  readonly deployment: string;
  readonly prune: boolean;
  readonly adopt: boolean;
  readonly objects: readonly DesiredObject[];
  /** All that exist of: the desired ones, those that they replace, and what the deployment has managed so far. */
  readonly live: ReadonlyMap<string, LiveObject>;
  readonly owned: Owned;
  /** Other deployments that exist. */
  readonly deployments: ReadonlySet<string>;
}

/** Kinds whose bytes a new object does not have. */
const kindsWithData: ReadonlySet<string> = new Set(['volume', 'image', 'snapshot']);
/** States in which guests or clients use an object. */
const usedStates: Readonly<Record<string, RegExp>> = {
  vm: /^(running|paused|stalled|migrating|preparing)/,
  port: /^active/,
  'service-ip': /^allocated\.(active|degraded)/,
  'external-address': /^attached/,
  volume: /^held/,
};

const isUsed = ({ id, stateName }: LiveObject): boolean => usedStates[partsOfId(id).kind]?.test(stateName) === true;

const declaredOf = (kind: string) => declaredKinds.find((schema) => schema.kind === kind)?.declared;

/** The fields in which an object differs from its declaration. */
export function changesOf(object: DesiredObject, live: LiveObject): readonly SpecChange[] {
  const declared = declaredOf(object.kind);
  if (declared === undefined) throw new TypeError(`${object.kind} is not declared by clients`);
  const inSpec = specChanges(declared, live.spec, object.spec).map((one) => ({ ...one, path: `spec.${one.path}` }));
  const metadata = (['labels', 'protect'] as const)
    .filter((path) => !sameJson(live[path], object[path]))
    .map((path) => ({ path, before: live[path], after: object[path], change: 'in place' as const }));
  return [...inSpec, ...metadata];
}

type Judged = Pick<PlanStep, 'action' | 'changes' | 'reason'>;

const blocked = (reason: string, changes: readonly SpecChange[] = []): Judged => ({
  action: 'blocked',
  changes,
  reason,
});

/** Why the deployment may not touch the object; null: it may. */
function foreignReason(
  { deployment, adopt, deployments, live }: PlanInput,
  { id, managedBy }: LiveObject,
): string | null {
  if (managedBy === deployment) return null;
  const tenant = live.get(tenantId(partsOfId(id).tenant));
  if (managedBy === null && isMadeWithTenant(id) && tenant?.managedBy === deployment) return null;
  if (managedBy !== null && deployments.has(managedBy))
    return `is managed by ${managedBy}; remove it there first, or declare another name`;
  return adopt ? null : `exists and is not managed by ${deployment}; plan with --adopt to take ${id} over`;
}

/** Of a field that cannot change: the object is deleted and created again, where nothing else is lost by it. */
function replacement(input: PlanInput, live: LiveObject, changes: readonly SpecChange[]): Judged {
  const { kind } = partsOfId(live.id);
  const paths = changes.filter(({ change }) => change === 'replace').map(({ path }) => path);
  const cannot = `${paths.join(', ')} cannot change`;
  if (kindsWithData.has(kind))
    return blocked(
      `${cannot}, and a new ${kind} would not have its data; keep the field, or copy the data first`,
      changes,
    );
  if (live.protect)
    return blocked(`${cannot}, and it is protected; keep the field, or lift the protection first`, changes);
  const holders = [...input.live.values()]
    .filter(({ id }) => id !== live.id)
    .filter(({ id, spec }) => namedBy({ ...partsOfId(id), spec }).some((one) => one.id === live.id))
    .map(({ id }) => id);
  const [first] = holders;
  if (first === undefined) return { action: 'replace', changes, reason: `${cannot}: it is deleted and created again` };
  return blocked(`${cannot} while ${first} names it; keep the field, or remove ${first} first`, changes);
}

function judgeExisting(input: PlanInput, object: DesiredObject, live: LiveObject): Judged {
  const changes = changesOf(object, live);
  const foreign = foreignReason(input, live);
  if (foreign !== null) return blocked(foreign, changes);
  if (changes.some(({ change }) => change === 'replace')) return replacement(input, live, changes);
  if (live.managedBy !== input.deployment) return { action: 'adopt', changes, reason: null };
  if (changes.length === 0) return { action: 'no-op', changes, reason: null };
  return {
    action: changes.some(({ change }) => change === 'next start') ? 'next start' : 'update',
    changes,
    reason: null,
  };
}

const oldIdOf = ({ kind, tenant, movedFrom }: DesiredObject): string | null =>
  movedFrom === null ? null : idOf(kind, tenant, movedFrom);

type Unlevelled = Omit<PlanStep, 'level'>;

function stepOf(input: PlanInput, object: DesiredObject): Unlevelled {
  const id = desiredId(object);
  const live = input.live.get(id);
  const old = input.live.get(oldIdOf(object) ?? '');
  const movedFrom = old?.id ?? null;
  if (live !== undefined) {
    const judged = judgeExisting(input, object, live);
    return { id, ...judged, base: live.base, movedFrom, inUse: judged.action === 'replace' && isUsed(live) };
  }
  const fresh = { id, base: null, movedFrom, inUse: false };
  const foreign = old === undefined ? null : foreignReason(input, old);
  if (foreign !== null) return { ...fresh, ...blocked(`moves from ${movedFrom}, which ${foreign}`) };
  if (old !== undefined && kindsWithData.has(object.kind))
    return { ...fresh, ...blocked(`moves from ${movedFrom}, whose data it would not have; keep the name`) };
  return { ...fresh, action: 'create', changes: [], reason: null };
}

/** What is deleted: what is moved from, and with `prune` what is managed and not declared. */
function deletions(input: PlanInput): readonly Unlevelled[] {
  const declared = new Set(input.objects.map(desiredId));
  const moved = new Set(input.objects.map(oldIdOf).filter((id) => id !== null));
  const pruned = input.prune ? Object.keys(input.owned).filter((id) => input.owned[id] === 'delete') : [];
  return [...new Set([...moved, ...pruned])]
    .filter((id) => !declared.has(id))
    .map((id) => input.live.get(id))
    .filter((live) => live !== undefined)
    .filter(({ id, managedBy }) => managedBy === input.deployment || (moved.has(id) && foreignFree(input, id)))
    .map((live) => {
      const { id, base, protect } = live;
      const step = { id, base, changes: [], movedFrom: null, inUse: isUsed(live) };
      if (protect) return { ...step, action: 'blocked', reason: 'is to be deleted and is protected; lift that first' };
      return { ...step, action: 'delete', reason: null };
    });
}

const foreignFree = (input: PlanInput, id: string): boolean => {
  const live = input.live.get(id);
  return live !== undefined && foreignReason(input, live) === null;
};

const named = (id: string, spec: Readonly<Record<string, unknown>>): readonly string[] =>
  namedBy({ ...partsOfId(id), spec }).map((one) => one.id);

const byOrder = (a: PlanStep, b: PlanStep): number =>
  a.level - b.level || rankOf(partsOfId(a.id).kind) - rankOf(partsOfId(b.id).kind) || (a.id < b.id ? -1 : 1);

/** Deletions that something which stays refers to are refused now, not halfway. */
function withHolders(
  input: PlanInput,
  changing: readonly Unlevelled[],
  steps: readonly Unlevelled[],
): readonly Unlevelled[] {
  const going = new Set(steps.filter(({ action }) => action === 'delete').map(({ id }) => id));
  // By then everything is as declared, whatever it names now, but for what waits for its next start.
  const passed = new Set(changing.filter(({ action }) => action !== 'next start').map(({ id }) => id));
  const known = new Set([...passed, ...steps.map(({ id }) => id)]);
  const staying = [
    ...input.objects.map((object) => ({ id: desiredId(object), spec: object.spec })),
    ...[...input.live.values()].filter(({ id }) => !known.has(id)),
  ];
  return steps.map((step) => {
    if (step.action !== 'delete') return step;
    const holder = staying.find(({ id, spec }) => !going.has(id) && named(id, spec).includes(step.id));
    if (holder === undefined) return step;
    return { ...step, action: 'blocked', reason: `is to be deleted, and ${holder.id} names it; change that first` };
  });
}

/** @returns the steps in the order in which they are done; one for each declared object, and one for each deletion */
export function planSteps(input: PlanInput): readonly PlanStep[] {
  const changing = input.objects.map((object) => stepOf(input, object));
  const isBlocked = new Set(changing.filter(({ action }) => action === 'blocked').map(({ id }) => id));
  const keptFor = (id: string): boolean =>
    changing.some(({ id: to, movedFrom }) => movedFrom === id && isBlocked.has(to));
  const deleting = withHolders(input, changing, deletions(input)).filter(({ id }) => !keptFor(id));
  const up = levelsOf(
    new Map(input.objects.map((one) => [desiredId(one), [...named(desiredId(one), one.spec), ...sourcesOf(one)]])),
  );
  const down = levelsOf(new Map(deleting.map(({ id }) => [id, named(id, input.live.get(id)?.spec ?? {})])));
  const top = Math.max(-1, ...up.values());
  const highest = Math.max(0, ...down.values());
  return [
    ...changing.map((step) => ({ ...step, level: up.get(step.id) ?? 0 })),
    ...deleting.map((step) => ({ ...step, level: top + 1 + highest - (down.get(step.id) ?? 0) })),
  ].toSorted(byOrder);
}

/** Steps that what was asked of the actors refuses: `id` -> why. */
export const withRefusals = (steps: readonly PlanStep[], refusals: ReadonlyMap<string, string>): readonly PlanStep[] =>
  steps.map((step) => {
    const reason = refusals.get(step.id);
    return reason === undefined ? step : { ...step, action: 'blocked', reason };
  });

/** What the deployment manages once the steps are done. */
export function ownedAfter(input: PlanInput, steps: readonly PlanStep[]): Owned {
  const owned: Record<string, 'delete' | 'retain'> = {};
  const deleted = new Set(steps.filter(({ action }) => action === 'delete').map(({ id }) => id));
  for (const [id, policy] of Object.entries(input.owned)) {
    if (input.live.get(id)?.managedBy === input.deployment && !deleted.has(id)) owned[id] = policy;
  }
  const isBlocked = new Set(steps.filter(({ action }) => action === 'blocked').map(({ id }) => id));
  for (const object of input.objects) {
    const id = desiredId(object);
    if (!isBlocked.has(id)) owned[id] = object.deletionPolicy;
  }
  return owned;
}

export const isChange = ({ action }: Pick<PlanStep, 'action'>): boolean => action !== 'no-op';

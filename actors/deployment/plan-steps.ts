/**
 * Carries out steps of a plan. Before each write the object is read: one that is already as the step wants it is done,
 * one that is neither so nor as the plan has read it has moved. The write has the version that was read, so nothing can
 * come in between, and a key that contains it, so a repeated write gets its first answer. A step that lasts so long
 * that its key has become too old goes on with a new one: the version is enough for nothing to be done twice. Upholds:
 * a step that is begun again, by this deployer or the next, ends in the same state, and no object is changed twice.
 */
import { changesOf } from '@photoncloud/machines/deployment/deployment-planner';
import { desiredId, isMadeWithTenant, type DesiredObject } from '@photoncloud/machines/deployment/desired-objects';
import type { PlanOrder, StepOrder, StepResult } from '@photoncloud/machines/plan/plan-protocol';
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { failedStates, isRealized, restingStatesOf } from '../kind/resting-states.ts';
import type { DeployerCommand, DeployerPort, ReadActor } from './deployer-port.ts';
import { liveFrom } from './plan-reading.ts';

export interface Carrying {
  readonly port: DeployerPort;
  readonly order: PlanOrder;
  readonly key: string;
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly signal: AbortSignal;
}

type Result = Omit<StepResult, 'step'>;

const done: Result = { result: 'done', reason: null };
const moved = (reason: string): Result => ({ result: 'moved', reason });
const refused = (reason: string): Result => ({ result: 'refused', reason });
const hasMoved = moved('is not as it was when the plan was made; plan again');

/** How long an answer may take before it is asked for again, with the same key. */
const answerMs = 60_000;
const againMs = 250;
/** Refusals that pass by themselves: a holder that is just going, a name that is just becoming free. */
const passing: ReadonlySet<string> = new Set(['in_use', 'name_busy', 'overloaded']);
const passingMs = 20_000;

/** What a look at the object says: that the step is over, or what to send. */
type Next = Result | Pick<DeployerCommand, 'verb' | 'params'>;

function nextOf({ port, order, objects }: Carrying, step: StepOrder, read: ReadActor | undefined): Next {
  const live = liveFrom(port, step.id, read);
  const remove = { verb: 'delete', params: {} } as const;
  if (step.action === 'delete') {
    if (live === undefined) return done;
    return live.base === step.base ? remove : hasMoved;
  }
  const object = objects.get(step.id);
  if (object === undefined) throw new TypeError(`${step.id} is not of the revision`);
  const { spec, labels, protect } = object;
  const declare = { verb: 'apply', params: { spec, labels, protect } } as const;
  if (live === undefined) return step.base === null || step.action === 'replace' ? declare : hasMoved;
  if (live.managedBy === order.deployment && changesOf(object, live).length === 0) return done;
  // The tenant, an earlier step, has made it.
  const cameWithTenant = step.base === null && live.managedBy === null && isMadeWithTenant(step.id);
  if (live.base !== step.base && !cameWithTenant) return hasMoved;
  return step.action === 'replace' ? remove : declare;
}

/** What the refusal of a command means; undefined: look again. */
function afterRefusal(error: unknown, sinceMs: number): Result | undefined {
  if (!(error instanceof PhotonError)) throw error;
  const { group, code, message } = error.record;
  if (code === 'version_conflict') return undefined;
  if (group === 'unknown' || group === 'fault' || group === 'ownership_lost') return undefined;
  if (passing.has(code) && sinceMs < passingMs) return undefined;
  return refused(message);
}

async function carryOutOne(carrying: Carrying, step: StepOrder): Promise<Result> {
  const { port, order, key, signal } = carrying;
  const { deployment, revision } = order;
  const beganAt = port.now();
  let prefix = key;
  for (;;) {
    signal.throwIfAborted();
    const read = await port.read(step.id);
    const next = nextOf(carrying, step, read);
    if ('result' in next) return next;
    const ifVersion = read?.version ?? 0;
    const idempotencyKey = `${prefix}.${step.step}.${ifVersion}`;
    const who = { deployment, tenants: revision.tenants, to: step.id, idempotencyKey, ifVersion };
    try {
      await port.command({ ...who, ...next, waitMs: answerMs });
    } catch (error) {
      const result = afterRefusal(error, port.now() - beganAt);
      if (result !== undefined) return result;
      if (error instanceof PhotonError && error.record.code === 'command_too_old')
        prefix = `${Math.trunc(port.now())}-${key}`;
      await port.pause(againMs, signal);
    }
  }
}

/** Why an object is not at rest as it was declared; null: it is. */
export function unreadyReason(
  id: string,
  read: ReadActor | undefined,
): { readonly reason: string; readonly isLasting: boolean } | null {
  if (read?.lifecycle !== 'live') return { reason: 'does not exist any more', isLasting: true };
  const { stateName, status, reason } = read;
  if (restingStatesOf(id).test(stateName) && isRealized(status)) return null;
  const why = reason === null ? '' : `: ${reason}`;
  return { reason: `is ${stateName}${why}`, isLasting: failedStates.test(stateName) };
}

const lookMs = 200;

/**
 * Waits until every object is at rest. @param until on the shared clock, ms
 * @returns those that are not in time, or that have failed, with their reasons
 */
export async function settleAll(port: DeployerPort, ids: readonly string[], until: number, signal: AbortSignal) {
  const unready = new Map<string, { readonly reason: string; readonly isLasting: boolean }>();
  let waiting = ids;
  for (;;) {
    for (const id of waiting) {
      const why = unreadyReason(id, await port.read(id));
      if (why === null) unready.delete(id);
      else unready.set(id, why);
    }
    waiting = [...unready].filter(([, { isLasting }]) => !isLasting).map(([id]) => id);
    if (waiting.length === 0 || port.now() >= until) return [...unready].map(([id, { reason }]) => ({ id, reason }));
    await port.pause(lookMs, signal);
  }
}

/** Kinds that others can use only once they are complete. */
const awaited: ReadonlySet<string> = new Set(['image', 'snapshot']);

async function withReadiness({ port, order, signal }: Carrying, { id, action }: StepOrder, result: Result) {
  if (result.result !== 'done' || action === 'delete' || !awaited.has(partsOfId(id).kind)) return result;
  const [problem] = await settleAll(port, [id], port.now() + order.readyWithinS * 1_000, signal);
  return problem === undefined ? result : refused(problem.reason);
}

/** Steps that do not depend on each other, at the same time. */
export const carryOut = (carrying: Carrying, steps: readonly StepOrder[]): Promise<StepResult[]> =>
  Promise.all(
    steps.map(async (step) => {
      const result = await carryOutOne(carrying, step);
      return { step: step.step, ...(await withReadiness(carrying, step, result)) };
    }),
  );

export const objectsById = (objects: readonly DesiredObject[]): ReadonlyMap<string, DesiredObject> =>
  new Map(objects.map((object) => [desiredId(object), object]));

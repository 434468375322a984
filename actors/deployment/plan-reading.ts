/**
 * Makes plans: reads every object that a desired state is about, lets the planner compare, and asks the actors, by dry
 * runs, what they would refuse. Changes nothing.
 */
import {
  namedBy,
  desiredId,
  isMadeWithTenant,
  type DesiredObject,
} from '@photoncloud/machines/deployment/desired-objects';
import {
  planSteps,
  withRefusals,
  type LiveObject,
  type PlanInput,
} from '@photoncloud/machines/deployment/deployment-planner';
import type { PlanOrder, PlanStep } from '@photoncloud/machines/plan/plan-protocol';
import { lost, madeAgain, realized, type Condition } from '@photoncloud/machines/values/conditions';
import { canonicalJson } from '@photoncloud/machines/values/failures';
import { idOf, partsOfId, tenantId } from '@photoncloud/machines/values/identifiers';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DeployerPort, ReadActor } from './deployer-port.ts';
import type { DesiredTexts } from './desired-text.ts';

const atOnce = 16;

/** @returns the results in the order of the items */
export async function inTurn<Item, Result>(
  items: readonly Item[],
  each: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < items.length; at += atOnce)
    results.push(...(await Promise.all(items.slice(at, at + atOnce).map(each))));
  return results;
}

interface DeclaredStatus {
  readonly generation?: number;
  readonly labels?: LiveObject['labels'];
  readonly protect?: boolean;
  readonly managedBy?: string | null;
  readonly conditions?: readonly Condition[];
}

/** What a host has lost of an object, or has lost and made again. */
function lossOf(conditions: readonly Condition[]): LiveObject['loss'] {
  const one = conditions.find(({ type, reason }) => type === realized && (reason === lost || reason === madeAgain));
  return one === undefined ? null : { what: one.message, since: one.since, isOver: one.reason === madeAgain };
}

/** An object as it is declared now; undefined when there is none. */
export function liveFrom(port: DeployerPort, id: string, read: ReadActor | undefined): LiveObject | undefined {
  if (read?.lifecycle !== 'live' || typeof read.spec !== 'object' || read.spec === null) return undefined;
  const status = (read.status ?? {}) as DeclaredStatus;
  const { generation = 0, labels = {}, protect = false, managedBy = null, conditions = [] } = status;
  const { uid, stateName } = read;
  const base = port.digest(canonicalJson([uid, generation, labels, protect, managedBy])).slice(0, 16);
  const spec = read.spec as LiveObject['spec'];
  return { id, base, spec, labels, protect, managedBy, stateName, loss: lossOf(conditions) };
}

async function readLive(port: DeployerPort, ids: readonly string[]): Promise<Map<string, LiveObject>> {
  const read = await inTurn(ids, async (id) => liveFrom(port, id, await port.read(id)));
  return new Map(read.filter((one) => one !== undefined).map((one) => [one.id, one]));
}

export const readOne = async (port: DeployerPort, id: string): Promise<LiveObject | undefined> =>
  liveFrom(port, id, await port.read(id));

export const readBase = async (port: DeployerPort, id: string): Promise<string | null> =>
  (await readOne(port, id))?.base ?? null;

/** Those of the deployments that exist. */
async function existing(port: DeployerPort, deployments: readonly string[]): Promise<ReadonlySet<string>> {
  const read = await inTurn(deployments, async (id) => ((await port.read(id))?.lifecycle === 'live' ? [id] : []));
  return new Set(read.flat());
}

export interface Comparison {
  readonly input: PlanInput;
  readonly steps: readonly PlanStep[];
}

/** What differs, by reading alone. */
export async function compare(port: DeployerPort, texts: DesiredTexts, order: PlanOrder): Promise<Comparison> {
  const { deployment, revision, prune, adopt, owned } = order;
  const objects = await texts.objects(deployment, revision);
  const old = objects.flatMap(({ kind, tenant, movedFrom }) =>
    movedFrom === null ? [] : [idOf(kind, tenant, movedFrom)],
  );
  const live = await readLive(port, [...new Set([...objects.map(desiredId), ...old, ...Object.keys(owned)])]);
  const others = new Set([...live.values()].map(({ managedBy }) => managedBy).filter((id) => id !== null));
  others.delete(deployment);
  const deployments = await existing(port, [...others]);
  const input = { deployment, prune, adopt, objects, live, owned, deployments };
  return { input, steps: planSteps(input) };
}

const tried: ReadonlySet<PlanStep['action']> = new Set(['create', 'update', 'next start', 'adopt']);
const dryRunMs = 10_000;

/** References to objects that the same plan makes are missing only until then. */
function isMissingHere(error: PhotonError, object: DesiredObject, here: ReadonlySet<string>): boolean {
  const { code, issues = [] } = error.record;
  if (code !== 'reference_not_found') return false;
  const comes = (id: string): boolean =>
    here.has(id) || (isMadeWithTenant(id) && here.has(tenantId(partsOfId(id).tenant)));
  const within = new Set(
    namedBy(object)
      .filter(({ id }) => comes(id))
      .map(({ path }) => path),
  );
  return issues.every(({ path }) => within.has(path));
}

const textOf = ({ record: { message, issues = [] } }: PhotonError): string => {
  const more = issues.filter((one) => !message.includes(one.message)).map(({ path, message: why }) => `${path} ${why}`);
  return [message, ...more].join('; ');
};

/** What the actors would refuse, by the id of the object. */
async function refusalsOf(port: DeployerPort, order: PlanOrder, { input, steps }: Comparison) {
  const refusals = new Map<string, string>();
  const toCome = new Set(steps.filter(({ action }) => action !== 'blocked' && action !== 'delete').map(({ id }) => id));
  const objects = new Map(input.objects.map((one) => [desiredId(one), one]));
  const ask = async ({ id }: PlanStep): Promise<void> => {
    const object = objects.get(id);
    if (object === undefined) return;
    const { spec, labels, protect } = object;
    const { deployment, revision } = order;
    const key = `${port.now()}-dry`;
    const who = { deployment, tenants: revision.tenants, to: id, verb: 'apply', idempotencyKey: key } as const;
    try {
      await port.command({ ...who, params: { spec, labels, protect }, dryRun: true, waitMs: dryRunMs });
    } catch (error) {
      if (!(error instanceof PhotonError) || error.record.group !== 'rejection') throw error;
      if (!isMissingHere(error, object, toCome)) refusals.set(id, textOf(error));
    }
  };
  await inTurn(
    steps.filter(({ action }) => tried.has(action)),
    ask,
  );
  return refusals;
}

/** The plan of a revision: steps, and the digest of them and of what they were made from. */
export async function planNow(port: DeployerPort, texts: DesiredTexts, order: PlanOrder) {
  const compared = await compare(port, texts, order);
  const steps = withRefusals(compared.steps, await refusalsOf(port, order, compared));
  const { deployment, revision, prune, adopt } = order;
  const digest = port.digest(canonicalJson([deployment, revision, prune, adopt, steps]));
  return { digest, steps, input: compared.input };
}

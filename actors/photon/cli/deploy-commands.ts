/**
 * `photon plan`, `photon apply --deployment` and `photon drift`: a desired state in files becomes a revision of a
 * deployment, a plan of it is shown, and carried out as it was shown. The deployment does the work: this command may
 * end at any time, and run again it finds what is already done.
 */
import { createHash } from 'node:crypto';
import { guardReason } from '@photoncloud/machines/deployment/deployment-context';
import { desiredId, issuesOfSet } from '@photoncloud/machines/deployment/desired-objects';
import {
  desiredStateVersion,
  longestPart,
  type DeploymentSpec,
  type Drift,
  type Loss,
} from '@photoncloud/machines/deployment/deployment-protocol';
import type { PlanCounts, PlanProblem } from '@photoncloud/machines/plan/plan-protocol';
import type { Condition } from '@photoncloud/machines/values/conditions';
import { canonicalJson } from '@photoncloud/machines/values/failures';
import { partsOfId, systemTenant } from '@photoncloud/machines/values/identifiers';
import { clientClock } from '@photoncloud/runtime/client/client-clock';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { exitCodes, type Session } from './cli-session.ts';
import { deadlineIn, type Deadline } from './deadline.ts';
import { readDesired, type DesiredDeclaration } from './document-schema.ts';
import { command } from './object-commands.ts';
import { countsLine, keptLines, lossText, outcomeText, planLines, stepText, type ShownStep } from './plan-text.ts';
import { jsonText, say, showProgress, warn } from './terminal-text.ts';

export interface PlanSettings {
  readonly file: readonly string[];
  readonly prune?: boolean;
  readonly adopt?: boolean;
}

interface PlanAnswer {
  readonly plan: string;
  readonly digest: string;
  readonly phase: 'empty' | 'ready' | 'blocked' | 'applying' | 'applied' | 'failed' | 'stale';
  readonly counts: PlanCounts;
}

interface PlanStatus {
  readonly digest: string;
  readonly counts: PlanCounts;
  readonly steps: readonly ShownStep[];
  readonly problems: readonly PlanProblem[];
  /** Ids; a controller of an older release does not say. */
  readonly kept?: readonly string[];
}

/** The canonical text of a desired state, and its digest. */
export function desiredText(documents: readonly DesiredDeclaration[]): {
  readonly text: string;
  readonly digest: string;
} {
  const objects = documents
    .toSorted((a, b) => (desiredId(a) < desiredId(b) ? -1 : 1))
    .map(({ origin: _, tenant, ...rest }) => (rest.kind === 'tenant' ? rest : { ...rest, tenant }));
  const text = canonicalJson({ schemaVersion: desiredStateVersion, objects });
  return { text, digest: createHash('sha256').update(text).digest('hex') };
}

/** @throws rejection `document_invalid` that names files and fields */
function checkHere(documents: readonly DesiredDeclaration[], tenant: string | null): void {
  const found = issuesOfSet(documents, tenant);
  if (found.length === 0) return;
  const inFiles = (text: string): string =>
    text.replaceAll(/objects\.(\d+)\.?/g, (_, at: string) => `${documents[Number(at)]?.origin ?? ''} `);
  const issues = found.map(({ path, message }) => ({ path: inFiles(path).trim(), message: inFiles(message) }));
  throw new PhotonError('rejection', 'document_invalid', 'not valid as a whole; nothing was changed', { issues });
}

const againMs = 500;
const pause = (ms: number): Promise<void> => new Promise((resolve) => void clientClock.after(ms, resolve));

/** A deployment does one thing at a time, so a command may have to wait for its turn. */
async function inTurn<T>(deadline: Deadline, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isBusy = error instanceof PhotonError && error.record.code === 'deployment_busy';
      if (!isBusy || deadline.leftMs() < againMs) throw error;
      showProgress(error.record.message);
      await pause(againMs);
    }
  }
}

async function ensureDeployment(session: Session, id: string, deadline: Deadline): Promise<void> {
  try {
    const { lifecycle } = await session.client.call('actor.get', { id });
    if (lifecycle === 'live') return;
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.code !== 'not_found') throw error;
  }
  await command(session, id, 'create', { spec: {} }, deadline);
  warn(`${id} created`);
}

async function stage(session: Session, id: string, files: readonly string[], deadline: Deadline): Promise<string> {
  const { tenant } = partsOfId(id);
  const isSystem = tenant === systemTenant;
  const documents = readDesired(files, isSystem ? session.tenantOrNone : tenant);
  checkHere(documents, isSystem ? null : tenant);
  const { text, digest } = desiredText(documents);
  await ensureDeployment(session, id, deadline);
  const parts = Math.ceil(text.length / longestPart);
  const about = { digest, schemaVersion: desiredStateVersion, parts, tenants: isSystem ? 'all' : 'own' };
  for (let part = 1; part <= parts; part += 1) {
    const piece = text.slice((part - 1) * longestPart, part * longestPart);
    await inTurn(deadline, () => command(session, id, 'stage', { ...about, part, text: piece }, deadline));
  }
  return digest;
}

const resultOf = (reply: unknown): PlanAnswer => (reply as { readonly result: PlanAnswer }).result;

/** Stages the files, and has a plan made of them. */
export async function makePlan(
  session: Session,
  id: string,
  settings: PlanSettings,
  deadline: Deadline,
): Promise<PlanAnswer> {
  const digest = await stage(session, id, settings.file, deadline);
  const { prune, adopt } = settings;
  const asked = { digest, ...(prune === undefined ? {} : { prune }), ...(adopt === undefined ? {} : { adopt }) };
  return resultOf(await inTurn(deadline, () => command(session, id, 'plan', asked, deadline)));
}

export async function statusOf(session: Session, plan: string): Promise<PlanStatus & { readonly stateName: string }> {
  const { stateName, status } = await session.client.call('actor.get', { id: plan });
  return { ...(status as unknown as PlanStatus), stateName };
}

const short = (digest: string): string => digest.slice(0, 12);

/** The exit code says whether there is something to do. */
export async function planFiles(
  session: Session,
  id: string,
  options: PlanSettings & { readonly output: string; readonly timeout: number },
): Promise<void> {
  const made = await makePlan(session, id, options, deadlineIn(options.timeout));
  const status = await statusOf(session, made.plan);
  const { steps, kept = [] } = status;
  if (options.output === 'json') say(jsonText({ deployment: id, ...made, steps: steps.map(withoutOutcome), kept }, 2));
  else {
    sayPlan(status);
    if (made.phase === 'ready') say(`carry it out: ${await applyLine(session, id, made)}`);
    if (made.phase === 'blocked') say('nothing can be carried out while something is blocked');
  }
  process.exitCode =
    made.phase === 'empty' ? exitCodes.ok : made.phase === 'ready' ? exitCodes.differs : exitCodes.refused;
}

function sayPlan({ steps, counts, kept = [] }: PlanStatus): void {
  for (const text of planLines(steps)) say(text);
  for (const text of keptLines(kept)) say(text);
  say(countsLine(counts));
}

/** The command that carries a plan out, with the consent that it takes. */
async function applyLine(session: Session, id: string, { digest, counts }: PlanAnswer): Promise<string> {
  const { tenant, name } = partsOfId(id);
  const { spec } = await session.client.call('actor.get', { id });
  const why = guardReason(counts, (spec as unknown as DeploymentSpec).maxDeletes, undefined);
  const consent = why === null ? '' : ` --allow-deletes ${counts.delete + counts.replace}`;
  return `photon -t ${tenant} apply --plan ${short(digest)} --deployment ${name}${consent}`;
}

const withoutOutcome = ({ outcome: _, ...step }: ShownStep): Omit<ShownStep, 'outcome'> => step;

const lookMs = 300;

/** Prints each step as it is done, and resolves once the plan has ended. */
async function follow(session: Session, plan: string, deadline: Deadline): Promise<void> {
  const said = new Set<number>();
  for (;;) {
    const { steps, problems, stateName } = await statusOf(session, plan);
    steps.forEach((step, at) => {
      if (step.outcome === null || said.has(at)) return;
      said.add(at);
      say(outcomeText(step));
    });
    if (/^(applied|failed|stale|empty|blocked)$/.test(stateName)) return sayEnd(plan, stateName, problems, steps);
    showProgress(`${plan} ${stateName}, ${said.size} steps done`);
    if (deadline.leftMs() <= 0) {
      const text = `${plan} is still ${stateName} after ${deadline.seconds} s`;
      throw new PhotonError('unknown', 'wait_timeout', text);
    }
    await pause(lookMs);
  }
}

function sayEnd(plan: string, stateName: string, problems: readonly PlanProblem[], steps: readonly ShownStep[]): void {
  if (stateName === 'applied' && problems.length === 0) return;
  if (stateName === 'empty') return say('nothing to do');
  const toDo = steps.filter(({ action, outcome }) => action !== 'no-op' && outcome === null).length;
  const left = stateName === 'applied' ? 'everything is declared, and this is not ready' : `${toDo} steps not tried`;
  const message = `${plan} ${stateName}: ${left}`;
  const issues = problems.map(({ id, reason }) => ({ path: id, message: reason }));
  throw new PhotonError('defeat', `plan_${stateName === 'applied' ? 'unready' : stateName}`, message, { issues });
}

interface ExecuteOptions {
  readonly allowDeletes?: number;
  readonly timeout: number;
}

export async function carryOut(
  session: Session,
  id: string,
  digest: string,
  options: ExecuteOptions,
  deadline: Deadline,
) {
  const { allowDeletes } = options;
  const params = { plan: digest, ...(allowDeletes === undefined ? {} : { allowDeletes }) };
  const begun = resultOf(await inTurn(deadline, () => command(session, id, 'execute', params, deadline)));
  await follow(session, begun.plan, deadline);
}

/** `photon apply --plan DIGEST --deployment NAME`. */
export const applyPlan = (session: Session, id: string, digest: string, options: ExecuteOptions): Promise<void> =>
  carryOut(session, id, digest, options, deadlineIn(options.timeout));

/** `photon apply -f FILE --deployment NAME`: makes a plan, shows it, and carries it out. */
export async function applyFiles(session: Session, id: string, options: PlanSettings & ExecuteOptions): Promise<void> {
  const deadline = deadlineIn(options.timeout);
  const made = await makePlan(session, id, options, deadline);
  sayPlan(await statusOf(session, made.plan));
  await carryOut(session, id, made.digest, options, deadline);
}

interface DeploymentStatus {
  readonly applied: { readonly digest: string } | null;
  readonly drift: readonly Drift[];
  readonly driftCount: number;
  readonly losses?: readonly Loss[];
  readonly conditions: readonly Condition[];
}

/** What is not as it was applied. */
export async function showDrift(session: Session, id: string, output: string): Promise<void> {
  const { status } = await session.client.call('actor.get', { id });
  const { applied, drift, driftCount, losses = [], conditions } = status as unknown as DeploymentStatus;
  const lost = losses.filter(({ isOver }) => !isOver);
  const inSync = conditions.find(({ type }) => type === 'InSync');
  if (output === 'json')
    say(jsonText({ deployment: id, applied, inSync: inSync ?? null, driftCount, drift, losses }, 2));
  else if (applied === null) say(`${id} has applied nothing yet`);
  else if (inSync === undefined) say(`${id} has not compared its objects yet; ask again in some seconds`);
  else {
    for (const one of drift) say(stepText(one));
    for (const one of losses) say(lossText(one));
    const differ = driftCount + lost.length;
    say(differ === 0 ? `${id} is as applied` : `${differ} differ from ${short(applied.digest)}`);
  }
  process.exitCode =
    driftCount + lost.length > 0 ? exitCodes.differs : inSync === undefined ? exitCodes.unknown : exitCodes.ok;
}

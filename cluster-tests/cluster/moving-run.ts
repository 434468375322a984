/**
 * Runs one case of the table: begins the migration, waits until it is seen in the step, injects the fault, undoes it,
 * waits for the end, and lets the judge decide. Called by moving-faults.test.ts and moving-faults-main.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { MoveCase } from './moving-cases.ts';
import { NotThere, type Moving } from './moving-faults.ts';
import type { MoveJudge } from './moving-judge.ts';
import { otherOf, type MovingScene } from './moving-scene.ts';
import { holdOf, StepWatch } from './moving-steps.ts';

export interface CaseResult {
  /** `missed`: the step was over, or what is killed was not there; it says nothing. */
  readonly verdict: 'passed' | 'missed' | 'FAILED';
  readonly how: string;
  readonly tookMs: number;
}

const reachMs = 60_000;
const againMs = 500;

/** Until it is done: the store or a controller may be away. */
async function insist(work: () => Promise<void>, withinMs = 90_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await pause(againMs);
    }
  }
}

export async function runCase(scene: MovingScene, judge: MoveJudge, one: MoveCase): Promise<CaseResult> {
  const startedMs = performance.now();
  const result = (verdict: CaseResult['verdict'], how: string): CaseResult => ({
    verdict,
    how,
    tookMs: performance.now() - startedMs,
  });
  const subject = scene.subject(one.subject);
  try {
    const before = await judge.begin(subject);
    const from = before.status.host ?? '';
    const missed = await meet(scene, one, {
      scene,
      subject,
      from,
      to: otherOf(from),
    });
    await judge.settled(subject);
    const how = await judge.judge(subject, before, one);
    // What the hosts have of another VM is not known.
    if (!one.isAnother) await judge.judgeNext(subject);
    return missed === undefined ? result('passed', how) : result('missed', `${missed}; ${how}`);
  } catch (error) {
    await judge.end(subject).catch(() => undefined); // the error is what counts
    return result('FAILED', error instanceof Error ? error.message : String(error));
  }
}

/** @returns why the case says nothing; undefined when the fault was met */
async function meet(scene: MovingScene, one: MoveCase, moving: Moving): Promise<string | undefined> {
  const { acme } = scene;
  const { subject, to } = moving;
  const hold = holdOf(one.at, subject);
  const paused = new Set<string>();
  const holding: Promise<void>[] = [];
  const holdNow = (): void => {
    if (hold === undefined || paused.has(hold.id)) return;
    paused.add(hold.id);
    holding.push(insist(() => scene.verb('actor.pause', hold.id)));
  };
  const letGo = async (): Promise<void> => {
    await Promise.all(holding);
    for (const id of paused) await insist(() => scene.verb('actor.resume', id));
  };
  const watch = new StepWatch(scene, subject, (step) => {
    if (hold?.from === step) holdNow();
    // When it comes too late, no step of the undoing is seen, and the case counts as missed.
    if (one.undone && step === 'sending') void acme.ask('migration.cancel', subject.name).catch(() => undefined);
  });
  try {
    if (hold?.from === null) holdNow();
    await Promise.all(holding);
    // Its answer is no matter: the migration is watched.
    const asked = acme.ask('vm.migrate', subject.name, { to }).then(
      () => '',
      (error: unknown) => String(error),
    );
    const isMet = await watch.reach(one.at, reachMs);
    let heal: (() => Promise<void>) | undefined;
    let missed = isMet ? undefined : `${one.at} was not seen (${watch.seen.join(' ')})`;
    try {
      if (isMet) heal = await one.inject(moving);
    } catch (error) {
      if (!(error instanceof NotThere)) throw error;
      missed = error.message;
    } finally {
      void letGo().catch(() => undefined); // an actor that stays held is found by the judge
    }
    if (one.lastsMs === null) await acme.reachAbsence(subject.migration, 150_000);
    else await pause(one.lastsMs);
    await heal?.();
    if (missed !== undefined) missed = `${missed} ${await asked}`;
    return missed;
  } finally {
    await watch.close();
  }
}

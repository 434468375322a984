/**
 * One run of one seed as a value that can be sent to another process, and its result. A run that threw or whose process
 * died has a result as well, with that as its violation. Used by simulate-main.ts through seed-crew.ts, and by
 * seed-job-main.ts.
 */
import { cloudScenario } from './cloud/cloud-scenario.ts';
import { runtimeScenario } from './runtime-scenario.ts';
import { expandCloudSeed, expandSeed } from './seed-options.ts';
import { runSeed, type RunResult } from './simulation-run.ts';

const scenarios = { runtime: runtimeScenario, cloud: cloudScenario };

export type ScenarioName = keyof typeof scenarios;

export interface SeedTask {
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly minutes: number;
  /** Arms power cuts that lose acknowledged commits. */
  readonly beyond: boolean;
}

export const isScenario = (name: string): name is ScenarioName => Object.hasOwn(scenarios, name);

const optionsOf = ({ scenario, seed, minutes, beyond }: SeedTask) =>
  (scenario === 'cloud' ? expandCloudSeed : expandSeed)(String(seed), minutes, beyond);

/** Never rejects. */
export async function runTask(task: SeedTask): Promise<RunResult> {
  try {
    return await runSeed(optionsOf(task), scenarios[task.scenario]);
  } catch (failure) {
    return lostRun(task, `it threw ${failure instanceof Error ? (failure.stack ?? failure.message) : String(failure)}`);
  }
}

/** The result of a run that did not end by itself. */
export function lostRun(task: SeedTask, why: string): RunResult {
  return {
    options: optionsOf(task),
    violations: [why],
    hash: '',
    virtualMs: 0,
    events: 0,
    faults: new Map(),
    reached: new Map(),
    asked: 0,
    ok: 0,
    settledAfterMs: 0,
    eventLog: [],
  };
}

export const replayOf = ({ scenario, seed, minutes, beyond }: SeedTask): string =>
  `npm run simulate -- --scenario ${scenario} --seed ${seed} --minutes ${minutes}${beyond ? ' --beyond' : ''}`;

/**
 * One run of a seed from beginning to end: workload and faults for its minutes, then healing, after which the cluster
 * must settle in bounded virtual time (K13), then checks that need a cluster without faults, then judgement by the
 * checkers. Called through seed-task.ts by simulate-main.ts, and by the simulation tests of `npm test`.
 */
import { FaultPlan } from './fault-plan.ts';
import { replaceGlobals } from './replaced-globals.ts';
import type { Scenario, ScenarioOf } from './runtime-scenario.ts';
import type { SeedOptions } from './seed-options.ts';
import { Simulation } from './simulation.ts';

/** Virtual time in which a healed cluster must settle. */
const settleWithinMs = 90_000;
const lookEveryMs = 500;

export interface RunResult {
  readonly options: SeedOptions;
  readonly violations: readonly string[];
  readonly hash: string;
  readonly virtualMs: number;
  readonly events: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly reached: ReadonlyMap<string, number>;
  readonly asked: number;
  readonly ok: number;
  readonly settledAfterMs: number;
  readonly eventLog: readonly string[];
}

export async function runSeed(options: SeedOptions, scenarioOf: ScenarioOf): Promise<RunResult> {
  const simulation = new Simulation(options);
  const restore = replaceGlobals(simulation.time);
  try {
    const scenario = scenarioOf(simulation);
    const settledAfterMs = await runPhases(simulation, scenario);
    if (simulation.violations.length === 0) for (const broken of scenario.judge()) simulation.violate(broken);
    const { records } = scenario.clients;
    const ok = records.filter((record) => record.outcome === 'ok').length;
    if (records.length > 50 && ok < records.length * 0.3)
      simulation.violate(`invalid run: only ${ok} of ${records.length} commands were answered ok`);
    return {
      options,
      violations: simulation.violations,
      hash: simulation.traceHash(),
      virtualMs: simulation.time.nowMs,
      events: simulation.time.count,
      faults: simulation.faults,
      reached: simulation.reached,
      asked: records.length,
      ok,
      settledAfterMs,
      eventLog: simulation.eventLog(),
    };
  } finally {
    restore();
  }
}

/** @returns virtual ms that the cluster took to settle after healing */
async function runPhases(simulation: Simulation, scenario: Scenario): Promise<number> {
  const { time, options } = simulation;
  const broken = (): boolean => simulation.violations.length > 0;
  scenario.start();
  const plan = new FaultPlan(simulation);
  const endMs = options.minutes * 60_000;
  await time.run(endMs, broken);
  if (broken()) return 0;
  plan.heal();
  scenario.stopAsking();
  const settledAfterMs = await settle(simulation, scenario, 'healing');
  for (const [at, startCheck] of (scenario.finalChecks ?? []).entries()) {
    if (broken()) break;
    simulation.note('check', String(at + 1));
    startCheck();
    await settle(simulation, scenario, `the start of final check ${at + 1}`);
  }
  return settledAfterMs;
}

/** @returns virtual ms that the cluster took to settle */
async function settle(simulation: Simulation, scenario: Scenario, after: string): Promise<number> {
  const { time, violations } = simulation;
  const startMs = time.nowMs;
  const broken = (): boolean => violations.length > 0;
  let unsettled: string | undefined = 'not checked yet';
  while (!broken() && time.nowMs < startMs + settleWithinMs) {
    await time.run(time.nowMs + lookEveryMs, broken);
    unsettled = scenario.unsettled();
    if (unsettled === undefined) return time.nowMs - startMs;
  }
  if (!broken()) simulation.violate(`K13: not settled ${settleWithinMs / 1000} s after ${after}: ${unsettled}`);
  return settleWithinMs;
}

/**
 * One seed from beginning to end: faults and work for its minutes, then healing and demand that all comes to rest in
 * bounded virtual time, then exams of what can only be seen while nothing fails, then judgement.
 * Called by simulate-main.ts, the short run of `npm test` and the mutants.
 */
import { FaultPlan } from './fault-plan.ts';
import { replaceGlobals } from './replaced-globals.ts';
import type { Scenario, ScenarioOf } from './runtime-scenario.ts';
import type { SeedOptions } from './seed-options.ts';
import { Simulation } from './simulation.ts';

/** Virtual time in which a healed cluster must come to rest. */
const restWithinMs = 90_000;
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
  readonly restedAfterMs: number;
  readonly story: readonly string[];
}

export async function runSeed(options: SeedOptions, scenarioOf: ScenarioOf): Promise<RunResult> {
  const simulation = new Simulation(options);
  const restore = replaceGlobals(simulation.time);
  try {
    const scenario = scenarioOf(simulation);
    const restedAfterMs = await live(simulation, scenario);
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
      restedAfterMs,
      story: simulation.story(),
    };
  } finally {
    restore();
  }
}

/** @returns virtual ms it took to come to rest after healing */
async function live(simulation: Simulation, scenario: Scenario): Promise<number> {
  const { time, options } = simulation;
  const broken = (): boolean => simulation.violations.length > 0;
  scenario.start();
  const plan = new FaultPlan(simulation);
  const endMs = options.minutes * 60_000;
  await time.run(endMs, broken);
  if (broken()) return 0;
  plan.heal();
  scenario.stopAsking();
  const restedAfterMs = await rest(simulation, scenario, 'healing');
  for (const [at, examine] of (scenario.exams ?? []).entries()) {
    if (broken()) break;
    simulation.note('check', String(at + 1));
    examine();
    await rest(simulation, scenario, `the beginning of check ${at + 1}`);
  }
  return restedAfterMs;
}

/** @returns virtual ms it took to come to rest */
async function rest(simulation: Simulation, scenario: Scenario, after: string): Promise<number> {
  const { time, violations } = simulation;
  const startMs = time.nowMs;
  const broken = (): boolean => violations.length > 0;
  let unsettled: string | undefined = 'not looked at';
  while (!broken() && time.nowMs < startMs + restWithinMs) {
    await time.run(time.nowMs + lookEveryMs, broken);
    unsettled = scenario.unsettled();
    if (unsettled === undefined) return time.nowMs - startMs;
  }
  if (!broken()) simulation.violate(`K13: not at rest ${restWithinMs / 1000} s after ${after}: ${unsettled}`);
  return restWithinMs;
}

/**
 * In which order steps are started, and how many at once. Not how they run: test-step.ts. Called by test-all.ts.
 * Long files work (guests boot, programs are compiled and started); short ones mostly wait (for leases and silences to
 * end). So as many lanes as there are cores take the longest files first, and as many again take from the other end.
 * Every file has ports, folders and namespaces of its own and does not see those beside it. Files that measure run
 * last, with nothing beside them.
 */
import type { StepResult } from './test-report.ts';
import type { Step } from './test-step.ts';

/** @returns steps that may run side by side, longest first so that none is left over at the end; then those alone */
export function inOrder(steps: readonly Step[]): { together: Step[]; alone: Step[] } {
  const together = steps.filter(({ placing }) => !placing.runsAlone);
  const alone = steps.filter(({ placing }) => placing.runsAlone);
  return { together: together.toSorted((one, other) => other.placing.longestMs - one.placing.longestMs), alone };
}

/** More failures than these are no accident. */
const mostRepeated = 3;

/**
 * Which files are run once more, alone, because they failed. On a machine that other programs share, a file can fail by
 * what ran beside it; the report names each that passes only then. Programs that judge the sources are not repeated:
 * nothing beside them changes what they find.
 */
export function toRepeat(steps: readonly Step[], results: readonly StepResult[]): readonly Step[] {
  const failed = results.filter((one) => one.failed > 0);
  if (failed.length > mostRepeated) return [];
  return steps.filter(({ isFile, name }) => isFile && failed.some((one) => one.name === name));
}

export interface Lanes {
  /** How many take the next step from the beginning of the list. */
  readonly front: number;
  /** How many take it from the end. */
  readonly back: number;
}

/** Runs all `steps`, at most one in each lane at once; `onResult` is told as each ends. */
export async function runSteps(
  steps: readonly Step[],
  lanes: Lanes,
  onResult: (result: StepResult) => void,
): Promise<StepResult[]> {
  const results: StepResult[] = [];
  const waiting = [...steps];
  const lane = async (take: () => Step | undefined): Promise<void> => {
    for (let step = take(); step !== undefined; step = take()) {
      const result = await step.run();
      results.push(result);
      onResult(result);
    }
  };
  const many = (count: number, take: () => Step | undefined): Promise<void>[] =>
    Array.from({ length: count }, () => lane(take));
  await Promise.all([...many(lanes.front, () => waiting.shift()), ...many(lanes.back, () => waiting.pop())]);
  return results;
}

/**
 * In which order steps are started, and how many at once. Not how they run: test-step.ts. Called by test-all.ts.
 * Test files wait about as long as they work (for programs to start, leases to end, guests to boot), so one more of
 * them than there are cores is started. Each has ports, folders and namespaces of its own and does not see the others.
 * Those that measure run last, with nothing beside them.
 */
import type { StepResult } from './test-report.ts';
import type { Step } from './test-step.ts';

/** @returns steps that may run side by side, longest first so that none is left over at the end; then those alone */
export function inOrder(steps: readonly Step[]): { together: Step[]; alone: Step[] } {
  const together = steps.filter(({ placing }) => !placing.runsAlone);
  const alone = steps.filter(({ placing }) => placing.runsAlone);
  return { together: together.toSorted((one, other) => other.placing.longestMs - one.placing.longestMs), alone };
}

/** Runs `steps` in their order, at most `width` at once; `onResult` is told as each ends. */
export async function runSteps(
  steps: readonly Step[],
  width: number,
  onResult: (result: StepResult) => void,
): Promise<StepResult[]> {
  const results: StepResult[] = [];
  const waiting = [...steps];
  const lane = async (): Promise<void> => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const result = await step.run();
      results.push(result);
      onResult(result);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}

/**
 * One process of a crew (seed-crew.ts forks it): runs the seeds it is told, one at a time, and sends back what became
 * of each. Ends when the channel to its parent does, also in the middle of a seed.
 */
import { runTask, type SeedTask } from './seed-task.ts';

process.on('message', (task: SeedTask) => {
  void runTask(task).then((result) => process.send?.(result));
});
process.once('disconnect', () => process.exit());

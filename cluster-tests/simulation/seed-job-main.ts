/**
 * One worker process of seed-crew.ts: runs the seeds that its parent sends, one at a time, and sends back the result of
 * each. Ends when the channel to its parent closes, also in the middle of a seed.
 */
import { runTask, type SeedTask } from './seed-task.ts';

process.on('message', (task: SeedTask) => {
  void runTask(task).then((result) => process.send?.(result));
});
process.once('disconnect', () => process.exit());

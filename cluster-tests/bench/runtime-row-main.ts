/**
 * One row of the runtime bench in a process of its own, so that rows do not influence each other. Arguments: the row's
 * name and its options as JSON. Started by runtime-bench.ts, which gets the report over IPC; ends with it.
 */
import { activationRow, memoryRow, recoveryRow } from './runtime-activation.ts';
import { backlogRow, latencyRow, throughputRow, type RowOptions } from './runtime-throughput.ts';
import { takeoverRow } from './runtime-takeover.ts';
import { timersRow } from './runtime-timers.ts';
import { websocketRow } from './runtime-websocket.ts';

const rows = {
  throughput: throughputRow,
  websocket: websocketRow,
  backlog: backlogRow,
  latency: latencyRow,
  activation: activationRow,
  recovery: recoveryRow,
  takeover: takeoverRow,
  timers: timersRow,
  memory: memoryRow,
};

process.once('disconnect', () => process.exit(1));
const [name = '', options = '{}'] = process.argv.slice(2);
const row = rows[name as keyof typeof rows];
if (row === undefined) throw new Error(`there is no row ${name}`);
const report = await row(JSON.parse(options) as RowOptions);
if (process.send === undefined) process.stdout.write(`${JSON.stringify(report, null, 1)}\n`);
else process.send(report, () => process.exit(0));

/**
 * The program that checks backends inside the namespace of a VPC: a request per line on its standard input, a result
 * per line on its standard output. It ends with its input, so also with a worker that is killed. Before it reads
 * anything it becomes nobody: not earlier, because nobody may be unable to read this file. Started by prober.ts.
 */
import { createInterface } from 'node:readline';
import { probe, type ProbeRequest } from './probe.ts';

const nobody = 65_534;
if (process.getuid?.() === 0) {
  process.setgroups?.([]);
  process.setgid?.(nobody);
  process.setuid?.(nobody);
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  void probe(JSON.parse(line) as ProbeRequest).then((result) => process.stdout.write(`${JSON.stringify(result)}\n`));
});
lines.on('close', () => process.exit());

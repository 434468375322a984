/**
 * The controller that the takeover row kills. Argument: JSON {url, name}. It reports the number of its shards whenever
 * that changes, gives every command it is sent to its host, and answers with the command's id. It ends with its parent.
 */
import type { Command } from '@photoncloud/runtime/contract/envelope';
import { joinBench } from './runtime-member.ts';

process.once('disconnect', () => process.exit(0));
const { url, name } = JSON.parse(process.argv[2] ?? '{}') as { url: string; name: string };
const { host, membership } = await joinBench(url, name);

process.on('message', (command: Command) => {
  void host.ask(command).then((reply) => process.send?.({ commandId: command.commandId, ok: reply.ok }));
});

let told = -1;
setInterval(() => {
  const owned = membership.grants().length;
  if (owned !== told) process.send?.({ owned });
  told = owned;
}, 10);

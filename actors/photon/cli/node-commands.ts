/**
 * `photon node` and `photon token` as far as they ask a controller: the nodes with their certificates, the removal of a
 * node, the revocation of a token. What works on the folder of `photon init` is in ../upkeep-commands.ts.
 */
import type { ApiResult } from '@photoncloud/runtime/control-api/api-schema';
import type { Command } from 'commander';
import { outputOption, withExamples, type Output } from './cli-options.ts';
import { exitCodes } from './cli-session.ts';
import { printObject } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { age, textTable } from './text-table.ts';
import { say } from './terminal-text.ts';

function nodesText({ nodes, revoked }: ApiResult<'node.list'>, nowMs: number): string {
  const rows = nodes.map(({ node, role, alive, certificate }) => [
    node,
    role,
    alive ? 'alive' : 'silent',
    certificate === undefined ? 'not told' : new Date(certificate.expiresMs).toISOString().slice(0, 16),
    certificate?.condition.reason ?? '',
  ]);
  const table = textTable(['node', 'role', 'state', 'certificate until', 'condition'], rows);
  const gone = revoked.map(({ subject, atMs, by, reason }) => [subject, age(atMs, nowMs), by, reason]);
  return gone.length === 0 ? table : `${table}\n\n${textTable(['revoked', 'age', 'by', 'reason'], gone)}`;
}

export function addNodes(program: Command): void {
  const node = program.command('node').description('list, remove, add and renew nodes; for operators');
  const list = node
    .command('list')
    .description('controllers and workers with their certificates; exit code 1 when one must be renewed')
    .addOption(outputOption())
    .action(
      withSession(program, async (session, { output }: { output: Output }) => {
        const found = await session.client.call('node.list', {});
        if (output === 'table') say(nodesText(found, Date.now()));
        else printObject(found, output);
        if (found.nodes.some(({ certificate }) => certificate?.condition.status === 'False'))
          process.exitCode = exitCodes.refused;
      }),
    );
  withExamples(list, 'node list', 'node list -o json');
  const remove = node
    .command('remove <name>')
    .description('refuse every certificate that a node has now: its links are cut, and it cannot come back with it')
    .requiredOption('--reason <text>', 'why; kept with the revocation')
    .action(
      withSession(program, async (session, name: string, { reason }: { reason: string }) => {
        await session.client.call('node.remove', { node: name, reason });
        say(`${name} is removed; VMs on a removed worker run on until its host is fenced`);
      }),
    );
  withExamples(remove, 'node remove w1 --reason "the computer was stolen"');
  const token = program.command('token').description('revoke and renew tokens of clients; for operators');
  const revoke = token
    .command('revoke <principal>')
    .description('refuse every token that a client has now, on all controllers; its sessions end')
    .requiredOption('--reason <text>', 'why; kept with the revocation')
    .action(
      withSession(program, async (session, principal: string, { reason }: { reason: string }) => {
        await session.client.call('token.revoke', { principal, reason });
        say(`the tokens of ${principal} are revoked; photon token renew makes a new one`);
      }),
    );
  withExamples(revoke, 'token revoke acme --reason "found in a public repository"');
}

/**
 * `photon node add`, `photon node renew` and `photon token renew`: run where the folder of `photon init` is, with the
 * authority's key. They print which files are new, so that an operator, or a timer, copies them to other computers.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import { wholeNumber, withExamples } from './cli/cli-options.ts';
import { say } from './cli/terminal-text.ts';
import type { NodeRequest } from './cluster-init.ts';

const until = (ms: number): string => new Date(ms).toISOString().slice(0, 16);
const of = (program: Command, name: string): Command =>
  program.commands.find((command) => command.name() === name) ?? program.command(name);

interface AddOptions {
  readonly dir: string;
  readonly controller?: readonly NodeRequest[];
  readonly worker?: readonly NodeRequest[];
  readonly storage?: readonly NodeRequest[];
  readonly allowRoot?: readonly string[];
}

/** @param requestOf parses `NAME=ADDRESS` of a role */
export function addUpkeep(
  program: Command,
  requestOf: (role: 'controller' | 'worker') => (text: string, before?: readonly NodeRequest[]) => NodeRequest[],
  collect: (text: string, before?: readonly string[]) => string[],
): void {
  const dir = ['--dir <folder>', 'the folder that photon init made, with the key of the authority'] as const;
  const node = of(program, 'node');
  const renew = node
    .command('renew [names...]')
    .description('renew the certificates that are due, or those of the named nodes; running nodes take them up')
    .requiredOption(...dir)
    .option('--days <number>', 'how long they are valid', wholeNumber)
    .action(async (names: readonly string[], options: { readonly dir: string; readonly days?: number }) => {
      const { renewCertificates } = await import('./cluster-upkeep.ts');
      for (const each of await renewCertificates(options.dir, names, Date.now(), options.days)) {
        const files = `${join(options.dir, 'nodes', each.node)}/node.crt and node.key`;
        say(`${each.renewed ? 'renewed' : 'valid  '}  ${until(each.expiresMs)}  ${files}`);
      }
    });
  withExamples(renew, 'node renew --dir /root/cluster', 'node renew w1 --dir /root/cluster');
  const add = node
    .command('add')
    .description('make the folder of one more node of the cluster; copy it to its computer and start the node there')
    .requiredOption(...dir)
    .option('--controller <name=address>', 'controller node, repeatable', requestOf('controller'))
    .option('--worker <name=address>', 'worker node, repeatable', requestOf('worker'))
    .option('--storage <name=address>', 'worker node that takes shared volumes, repeatable', requestOf('worker'))
    .option('--allow-root <folder>', 'folder from which it may import images, repeatable', collect)
    .action(async ({ dir: folder, controller = [], worker = [], storage = [], allowRoot }: AddOptions) => {
      const { addNode } = await import('./cluster-upkeep.ts');
      const storages = storage.map((one) => ({ ...one, storage: true }));
      for (const request of [...controller, ...worker, ...storages])
        say(`made ${await addNode(folder, request, allowRoot)}`);
    });
  withExamples(add, 'node add --worker w3=10.0.0.13 --dir /root/cluster');
  const token = of(program, 'token')
    .command('renew <principal>')
    .description('make a new token for a client; the former one is refused as soon as controllers have the new file')
    .requiredOption(...dir)
    .option('--days <number>', 'how long it is valid', wholeNumber)
    .action(async (principal: string, options: { readonly dir: string; readonly days?: number }) => {
      const { renewToken } = await import('./cluster-upkeep.ts');
      for (const path of renewToken(options.dir, principal, Date.now(), options.days)) say(`renewed  ${path}`);
    });
  withExamples(token, 'token renew acme --dir /root/cluster');
}

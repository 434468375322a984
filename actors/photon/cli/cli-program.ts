/**
 * The command line of `photon` for people and scripts: parsing, output, exit codes. Node roles are added by
 * photon-main.
 */
import { Command, Option } from 'commander';
import { applyDocuments } from './apply-documents.ts';
import { exitCodes } from './cli-session.ts';
import { readDocuments } from './document-schema.ts';
import { addHistory } from './history-commands.ts';
import * as objects from './object-commands.ts';
import { addOperating } from './operator-commands.ts';
import { withSession } from './session-action.ts';
import { stateWord } from './text-table.ts';

const timeout = (): Option => new Option('--timeout <seconds>', 'how long to wait').default(120).argParser(Number);
const output = (): Option =>
  new Option('-o, --output <form>', 'for people or for programs').choices(['table', 'json', 'yaml']).default('table');

function addApply(program: Command): void {
  program
    .command('apply')
    .description('make what the documents in a file declare')
    .requiredOption('-f, --file <path>', 'YAML or JSON documents; - reads standard input')
    .option('--wait', 'wait until everything has come to rest')
    .addOption(timeout())
    .action(
      withSession(program, async (session, options: { file: string; wait?: boolean; timeout: number }) => {
        await applyDocuments(session.client, readDocuments(options.file), {
          wait: options.wait ?? false,
          timeoutMs: options.timeout * 1_000,
          onWait: objects.progressLine(),
          onStep: ({ id, result, state, tookMs }) => {
            process.stdout.write(
              `${result.padEnd(9)}  ${id.padEnd(32)}  ${stateWord(state)}  ${Math.round(tookMs)} ms\n`,
            );
          },
        });
      }),
    );
}

type Outputs = { output: objects.Output };

function addReading(program: Command): void {
  program
    .command('get <kind> [name]')
    .description('one object; -o json shows all of it')
    .addOption(output())
    .action(
      withSession(program, (session, kind: string, name: string | undefined, options: Outputs) =>
        objects.get(session, kind, name, options.output),
      ),
    );
  program
    .command('list [kind]')
    .description('objects and their states')
    .option('--state <state>', 'only in this state')
    .option('--host <host>', 'only on this host')
    .option('--search <text>', 'only ids that contain it')
    .option('--held', 'only those that are paused or quarantined')
    .option('--watch', 'go on with every change')
    .addOption(output())
    .action(
      withSession(
        program,
        async (session, kind: string | undefined, options: objects.ListOptions & Outputs & { watch?: boolean }) => {
          const { state, host, search, held } = options;
          const scope = program.opts<{ tenant?: string }>().tenant;
          const filter = Object.fromEntries(
            Object.entries({ kind, scope, state, host, search, held }).filter(([, value]) => value !== undefined),
          );
          await (options.watch === true
            ? objects.listWatch(session, filter)
            : objects.list(session, filter, options.output));
        },
      ),
    );
  program
    .command('describe <kind> [name]')
    .description('one object with what it waits for and its last history')
    .action(
      withSession(program, (session, kind: string, name: string | undefined) => objects.describe(session, kind, name)),
    );
  program
    .command('events <kind> [name]')
    .description('the history of one object')
    .option('-n, --limit <count>', 'how many, newest last', Number, 32)
    .action(
      withSession(program, (session, kind: string, name: string | undefined, options: { limit: number }) =>
        objects.events(session, kind, name, options.limit),
      ),
    );
}

function addChanging(program: Command): void {
  program
    .command('delete <kind> [name]')
    .description('delete one object and wait until it is gone')
    .action(
      withSession(program, (session, kind: string, name: string | undefined) => objects.remove(session, kind, name)),
    );
  program
    .command('wait <kind> [name]')
    .description('wait until an object has come to rest')
    .option('--for <states>', 'states to wait for, separated by commas; `removed` for gone')
    .addOption(timeout())
    .action(
      withSession(
        program,
        async (session, kind: string, name: string | undefined, options: { for?: string; timeout: number }) => {
          const until = options.for === undefined ? {} : { until: options.for };
          await objects.wait(session, objects.targetOf(session, kind, name), {
            timeoutMs: options.timeout * 1_000,
            ...until,
          });
        },
      ),
    );
  const vm = program.command('vm').description('start, stop and restart machines');
  for (const verb of ['start', 'stop', 'restart'] as const) {
    vm.command(`${verb} <name>`)
      .description(`${verb} a VM and wait until it has come to rest`)
      .option('--no-wait', 'return once the command is accepted')
      .addOption(timeout())
      .action(
        withSession(program, async (session, name: string, options: { wait: boolean; timeout: number }) => {
          const id = objects.targetOf(session, 'vm', name);
          const reply = await objects.command(session, id, verb, {});
          if (!options.wait) return void process.stdout.write(`${id} ${verb} accepted ${JSON.stringify(reply)}\n`);
          await objects.wait(session, id, {
            until: verb === 'stop' ? 'stopped' : 'running',
            timeoutMs: options.timeout * 1_000,
          });
        }),
      );
  }
  for (const verb of ['cordon', 'uncordon'] as const) {
    program
      .command(`${verb} <host>`)
      .description(verb === 'cordon' ? 'place nothing new on a host' : 'place things on a host again')
      .action(
        withSession(
          program,
          async (session, host: string) =>
            void (await objects.command(session, objects.targetOf(session, 'host', host), verb, {})),
        ),
      );
  }
  program
    .command('bury <host>')
    .description('for operators: say that a silent host is off, so that what ran there may start elsewhere')
    .requiredOption('--is-off', 'you have made sure: what still runs there would run twice')
    .requiredOption('--reason <text>', 'how you know; kept with the host and in its history')
    .action(
      withSession(program, async (session, host: string, { isOff, reason }: { isOff: true; reason: string }) => {
        const id = objects.targetOf(session, 'host', host);
        const reply = await objects.command(session, id, 'bury', { isOff, reason });
        process.stdout.write(`${id} buried ${JSON.stringify(reply)}\n`);
      }),
    );
}

export function createCli(): Command {
  const program = new Command('photon')
    .description('photoncloud: a private cloud whose control plane is an actor system')
    .option('--as <file>', 'client file with address and token (or PHOTON_CLIENT)')
    .option('-t, --tenant <name>', 'tenant (or PHOTON_TENANT)')
    .showSuggestionAfterError()
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
    });
  program.addHelpText(
    'after',
    '\nexit codes: 0 done, 1 refused or failed, 2 usage, 3 not found, 4 unknown (run it again), 5 unreachable\n',
  );
  addApply(program);
  addReading(program);
  addChanging(program);
  addOperating(program);
  addHistory(program);
  return program;
}

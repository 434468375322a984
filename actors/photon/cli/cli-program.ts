/**
 * The command line of `photon` for people and scripts: parsing, output, exit codes. Node roles are added by
 * photon-main.
 */
import { clusterId } from '@photoncloud/machines/values/identifiers';
import { Command } from 'commander';
import { applyDocuments, diffDocuments, differenceText } from './apply-documents.ts';
import { outputOption, timeoutOption, wholeNumber, withExamples, type Output } from './cli-options.ts';
import { exitCodes } from './cli-session.ts';
import { readDocuments } from './document-schema.ts';
import { addHistory } from './history-commands.ts';
import { addNodes } from './node-commands.ts';
import * as objects from './object-commands.ts';
import { addOperating } from './operator-commands.ts';
import { withSession } from './session-action.ts';
import { stateWord } from './text-table.ts';

function addApply(program: Command): void {
  const apply = program
    .command('apply')
    .description('create and update what the documents in a file declare')
    .requiredOption('-f, --file <path>', 'YAML or JSON documents; - reads standard input')
    .option('--wait', 'wait until every object has settled')
    .addOption(timeoutOption())
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
  withExamples(apply, 'apply -f network.yaml --wait');
  const diff = program
    .command('diff')
    .description(
      'show what apply would do, by the fields: create, update (in place or at the next start), refuse, or nothing; ' +
        'references, overlaps and quotas are checked by apply only',
    )
    .requiredOption('-f, --file <path>', 'YAML or JSON documents; - reads standard input')
    .action(
      withSession(program, async (session, options: { file: string }) => {
        const differences = await diffDocuments(session.client, readDocuments(options.file));
        const changed = differences.filter(({ result }) => result !== 'unchanged');
        for (const difference of changed) process.stdout.write(`${differenceText(difference)}\n`);
        process.stdout.write(`${changed.length} of ${differences.length} differ\n`);
      }),
    );
  withExamples(diff, 'diff -f network.yaml');
}

type Outputs = { output: Output };

function addReading(program: Command): void {
  const get = program
    .command('get <kind> [name]')
    .description('show one object; -o json shows all fields')
    .addOption(outputOption())
    .action(
      withSession(program, (session, kind: string, name: string | undefined, options: Outputs) =>
        objects.get(session, kind, name, options.output),
      ),
    );
  withExamples(get, 'get vm/acme/web-1 -o json', '-t acme get vm web-1');
  const list = program
    .command('list [kind]')
    .description('list objects and their states')
    .option('--state <state>', 'only in this state')
    .option('--host <host>', 'only on this host')
    .option('--search <text>', 'only ids that contain the text')
    .option('--held', 'only paused or quarantined objects, with operator, reason and next command')
    .option('--watch', 'print every change until interrupted')
    .addOption(outputOption())
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
  withExamples(list, 'list vm -t acme', 'list --held', 'list --state failed', 'list --watch');
  const described = program
    .command('describe <kind> [name]')
    .description('show one object, what it waits for, and its latest history')
    .action(
      withSession(program, (session, kind: string, name: string | undefined) => objects.describe(session, kind, name)),
    );
  withExamples(described, 'describe vm/acme/web-1');
  const events = program
    .command('events <kind> [name]')
    .description('show the history of one object')
    .option('-n, --limit <count>', 'number of entries, newest last', wholeNumber, 32)
    .action(
      withSession(program, (session, kind: string, name: string | undefined, options: { limit: number }) =>
        objects.events(session, kind, name, options.limit),
      ),
    );
  withExamples(events, 'events vm/acme/web-1 -n 100');
}

function addChanging(program: Command): void {
  const remove = program
    .command('delete <kind> [name]')
    .description('delete one object and wait until it is gone')
    .action(
      withSession(program, (session, kind: string, name: string | undefined) => objects.remove(session, kind, name)),
    );
  withExamples(remove, 'delete vm/acme/web-1');
  const wait = program
    .command('wait <kind> [name]')
    .description('wait until an object has settled')
    .option('--for <states>', 'states to wait for, separated by commas; `removed` for gone')
    .addOption(timeoutOption())
    .action(
      withSession(
        program,
        async (session, kind: string, name: string | undefined, options: { for?: string; timeout: number }) => {
          const until = options.for === undefined ? {} : { until: options.for, failing: false };
          await objects.wait(session, objects.targetOf(session, kind, name), {
            timeoutMs: options.timeout * 1_000,
            ...until,
          });
        },
      ),
    );
  withExamples(wait, 'wait vm/acme/web-1 --for running --timeout 60', 'wait vm/acme/web-1 --for removed');
  const vm = program.command('vm').description('start, stop and restart VMs');
  for (const verb of ['start', 'stop', 'restart'] as const) {
    vm.command(`${verb} <name>`)
      .description(`${verb} a VM and wait until it has settled`)
      .option('--no-wait', 'return once the command is accepted')
      .addOption(timeoutOption())
      .action(
        withSession(program, async (session, name: string, options: { wait: boolean; timeout: number }) => {
          const id = objects.targetOf(session, 'vm', name);
          const reply = await objects.command(session, id, verb, {});
          if (!options.wait) return void process.stdout.write(`${id} ${verb} accepted ${JSON.stringify(reply)}\n`);
          await objects.wait(session, id, {
            until: verb === 'stop' ? 'stopped' : 'running',
            failing: true,
            timeoutMs: options.timeout * 1_000,
          });
        }),
      );
  }
}

function addCluster(program: Command): void {
  const cluster = program.command('cluster').description('commands for the whole cluster');
  cluster
    .command('release-barrier')
    .description('end the barrier after a store rollback; confirms that silent hosts are powered off')
    .action(
      withSession(program, (session) =>
        objects.commandAndSay(session, clusterId, 'release-barrier', 'places and allocates again'),
      ),
    );
}

function addHosts(program: Command): void {
  const host = program.command('host').description('cordon, uncordon and fence hosts');
  for (const verb of ['cordon', 'uncordon'] as const) {
    host
      .command(`${verb} <host>`)
      .description(verb === 'cordon' ? 'exclude a host from new placements' : 'allow new placements on a host again')
      .action(
        withSession(program, (session, name: string) =>
          objects.commandAndSay(session, objects.targetOf(session, 'host', name), verb, `${verb}ed`),
        ),
      );
  }
  const fence = host
    .command('fence <host>')
    .description('declare a silent host powered off, so that its VMs may start elsewhere')
    .requiredOption('--powered-off', 'confirms that you have verified it; a VM that still runs there would run twice')
    .requiredOption('--reason <text>', 'how you have verified it; kept with the host and in its history')
    .action(
      withSession(program, async (session, name: string, options: { poweredOff: true; reason: string }) => {
        const id = objects.targetOf(session, 'host', name);
        const { poweredOff, reason } = options;
        await objects.commandAndSay(session, id, 'fence', 'fenced: its VMs may start elsewhere', {
          poweredOff,
          reason,
        });
      }),
    );
  withExamples(fence, 'host fence w1 --powered-off --reason "power supply burnt, unplugged"');
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
  program.commandsGroup('Objects:');
  addApply(program);
  addReading(program);
  addChanging(program);
  program.commandsGroup('Hosts, for operators:');
  addHosts(program);
  addCluster(program);
  addNodes(program);
  program.commandsGroup('When something is stuck:');
  addOperating(program);
  addHistory(program);
  return program;
}

/**
 * The command line of `photon` for people and scripts: parsing, output, exit codes. Node roles are added by
 * photon-main.
 */
import { clusterId } from '@photoncloud/machines/values/identifiers';
import { reject } from '@photoncloud/runtime/contract/errors';
import { Command } from 'commander';
import { addAddresses } from './address-commands.ts';
import { applyDocuments, diffDocuments, differenceText, tryDocuments } from './apply-documents.ts';
import {
  fileOption,
  listOutputOption,
  numberBetween,
  outputOption,
  timeoutOption,
  withExamples,
  type ListOutput,
  type Output,
} from './cli-options.ts';
import { exitCodes, type Session } from './cli-session.ts';
import { deadlineIn } from './deadline.ts';
import { applyFiles, applyPlan } from './deploy-commands.ts';
import { addDeploying, adoptOption, allowDeletesOption, deploymentOption, pruneOption } from './deploy-options.ts';
import { readAllDocuments } from './document-schema.ts';
import { addConsole } from './console-command.ts';
import { addDelete } from './delete-command.ts';
import { addImages } from './image-commands.ts';
import { addHistory } from './history-commands.ts';
import { addHosts } from './drain-commands.ts';
import { addMigration } from './migrate-commands.ts';
import { addNodes } from './node-commands.ts';
import * as objects from './object-commands.ts';
import { list, listWatch, type ListOptions } from './list-commands.ts';
import { addRollouts } from './rollout-commands.ts';
import { addOperating } from './operator-commands.ts';
import { addHelp } from './help-command.ts';
import { withSession } from './session-action.ts';
import { addStorage } from './storage-commands.ts';
import { targetOf } from './targets.ts';
import { commanderOutput, jsonText, say, showProgress, warn } from './terminal-text.ts';
import { stateWord } from './text-table.ts';

const filesSay = 'YAML or JSON documents; repeatable, - reads standard input';

interface ApplyOptions {
  readonly file?: readonly string[];
  readonly deployment?: string;
  readonly plan?: string;
  readonly prune?: boolean;
  readonly adopt?: boolean;
  readonly allowDeletes?: number;
  readonly wait?: boolean;
  readonly dryRun?: boolean;
  readonly timeout: number;
}

const deploymentOnly = ['plan', 'prune', 'adopt'] as const;

/** Either files or a plan must be named; a file without -f is the usual slip. */
function checkApply(apply: Command): void {
  const { file, plan } = apply.opts<ApplyOptions>();
  if (file === undefined && plan === undefined) apply.error("error: option '-f, --file <path>' not specified");
  if (apply.args.length > 0) apply.error(`error: ${apply.args.join(' ')} is no option; name files with -f`);
}

async function applyDeployment(session: Session, name: string, options: ApplyOptions): Promise<void> {
  const id = targetOf(session, 'deployment', name);
  const { file = [], plan } = options;
  if (options.dryRun === true)
    throw reject('plan_needed', 'a deployment shows what it would do with photon plan; leave out --dry-run');
  if (plan !== undefined) return applyPlan(session, id, plan, options);
  return applyFiles(session, id, { ...options, file });
}

function addApply(program: Command): void {
  const apply = program
    .command('apply')
    .description('create and update what the documents in a file declare, by themselves or as a deployment')
    .addOption(fileOption(filesSay))
    .addOption(deploymentOption())
    .option('--plan <digest>', 'carry out this plan of the deployment, and nothing else')
    .addOption(pruneOption())
    .addOption(adoptOption())
    .addOption(allowDeletesOption())
    .option('--wait', 'wait until every object has settled')
    .option('--dry-run', 'ask what would be done, and change nothing; quotas and addresses are not asked')
    .addOption(timeoutOption(600))
    .allowExcessArguments()
    .hook('preAction', checkApply)
    .action(
      withSession(program, async (session, options: ApplyOptions) => {
        if (options.deployment !== undefined) return await applyDeployment(session, options.deployment, options);
        const { file = [] } = options;
        const only = deploymentOnly.find((name) => options[name] !== undefined);
        if (only !== undefined)
          throw reject('deployment_needed', `--${only} is for a deployment; name one with --deployment`);
        const declared = readAllDocuments(file, session.tenantOrNone);
        if (options.dryRun === true) {
          return await tryDocuments(session.client, declared, deadlineIn(options.timeout), (id, result) =>
            say(`${result.padEnd(9)}  ${id}  (dry run)`),
          );
        }
        return await applyDocuments(session.client, declared, {
          wait: options.wait ?? false,
          deadline: deadlineIn(options.timeout),
          onWait: showProgress,
          onStop: warn,
          onStep: ({ id, result, state, tookMs }) => {
            say(`${result.padEnd(9)}  ${id.padEnd(32)}  ${stateWord(state)}  ${Math.round(tookMs)} ms`);
          },
        });
      }),
    );
  withExamples(
    apply,
    'apply -f network.yaml --wait',
    'apply -f network.yaml --dry-run',
    'apply --plan 3f9a1c2b77d0 --deployment web',
  );
  addDeploying(program, filesSay);
  const diff = program
    .command('diff')
    .description(
      'show what apply would do, by the fields: create, update (in place or at the next start), refuse, or nothing; ' +
        'references, overlaps and quotas are checked by apply only',
    )
    .addOption(fileOption(filesSay).makeOptionMandatory())
    .action(
      withSession(program, async (session, options: { file: readonly string[] }) => {
        const differences = await diffDocuments(session.client, readAllDocuments(options.file, session.tenantOrNone));
        const changed = differences.filter(({ result }) => result !== 'unchanged');
        for (const difference of changed) say(differenceText(difference));
        say(`${changed.length} of ${differences.length} differ`);
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
  const listing = program
    .command('list [kind]')
    .description('list objects and their states')
    .option('--state <state>', 'only in this state')
    .option('--host <host>', 'only on this host')
    .option('--search <text>', 'only ids that contain the text')
    .option('--held', 'only paused or quarantined objects, with operator, reason and next command')
    .option('--watch', 'print every change until interrupted; -o json prints a line of JSON for each')
    .addOption(listOutputOption())
    .action(
      withSession(
        program,
        async (session, kind: string | undefined, options: ListOptions & { output: ListOutput; watch?: boolean }) => {
          const { state, host, search, held } = options;
          const scope = program.opts<{ tenant?: string }>().tenant;
          const filter = Object.fromEntries(
            Object.entries({ kind, scope, state, host, search, held }).filter(([, value]) => value !== undefined),
          );
          await (options.watch === true
            ? listWatch(session, filter, options.output)
            : list(session, filter, options.output));
        },
      ),
    );
  withExamples(listing, 'list vm -t acme -o wide', 'list --held', 'list vm --state failed', 'list vm --watch -o json');
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
    .option('-n, --limit <count>', 'number of entries, newest last', numberBetween(1, 500), 32)
    .action(
      withSession(program, (session, kind: string, name: string | undefined, options: { limit: number }) =>
        objects.events(session, kind, name, options.limit),
      ),
    );
  withExamples(events, 'events vm/acme/web-1 -n 100');
}

/** Commands of a VM, and the state that each leads to. */
const vmVerbs = {
  start: 'running',
  stop: 'stopped',
  restart: 'running',
  pause: 'paused',
  resume: 'running',
  reset: 'running,paused',
};

/** Verbs that end the run. */
const ending = ['stop', 'restart'];
const graceS = numberBetween(0, 120);

interface VmOptions {
  readonly wait: boolean;
  readonly timeout: number;
  readonly grace?: number;
}

function addChanging(program: Command): void {
  addDelete(program);
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
          await objects.wait(session, targetOf(session, kind, name), {
            deadline: deadlineIn(options.timeout),
            ...until,
          });
        },
      ),
    );
  withExamples(wait, 'wait vm/acme/web-1 --for running --timeout 60', 'wait vm/acme/web-1 --for removed');
  const vm = program
    .command('vm')
    .description('start, stop, restart, pause, resume, reset and migrate VMs, read their consoles');
  for (const [verb, until] of Object.entries(vmVerbs)) {
    const changing = vm
      .command(`${verb} <name>`)
      .description(`${verb} a VM and wait until it has settled`)
      .option('--no-wait', 'return once the command is accepted')
      .addOption(timeoutOption())
      .action(
        withSession(program, async (session, name: string, options: VmOptions) => {
          const id = targetOf(session, 'vm', name);
          const deadline = deadlineIn(options.timeout);
          const params = options.grace === undefined ? {} : { graceMs: options.grace * 1_000 };
          const reply = await objects.command(session, id, verb, params, deadline);
          if (!options.wait) return say(`${id} ${verb} accepted ${jsonText(reply)}`);
          await objects.wait(session, id, {
            until,
            failing: true,
            deadline,
          });
        }),
      );
    if (ending.includes(verb))
      changing.option('--grace <seconds>', 'how long its guest may take to shut down before it is ended', graceS);
    withExamples(changing, `vm ${verb} web-1`, `-t acme vm ${verb} web-1 --timeout 30`);
  }
  addMigration(program, vm);
  const logs = vm
    .command('logs <name>')
    .description('print the end of what the guest of the latest run wrote on its serial console, also after its end')
    .action(
      withSession(program, async (session, name: string) => {
        const { text } = await session.client.call('actor.output', { id: targetOf(session, 'vm', name) });
        say(text.replaceAll('\r\n', '\n').trimEnd());
      }),
    );
  withExamples(logs, 'vm logs web-1', '-t acme vm logs web-1 | tail');
}

function addOpen(program: Command): void {
  const open = program
    .command('open')
    .description('print a link that opens the inspector in a browser, once')
    .option('--minutes <number>', 'how long the link may stay unopened', numberBetween(1, 60), 15)
    .action(
      withSession(program, async (session, { minutes }: { minutes: number }) => {
        const base = session.browserUrl();
        const { secret } = await session.client.call('auth.secret', { ttlMs: minutes * 60_000 });
        say(`${base}/open#${secret}`);
        warn(`opens once, within ${minutes} min, as ${session.client.principal().principal}`);
      }),
    );
  withExamples(open, 'open', 'open --minutes 60');
}

function addCluster(program: Command): void {
  const cluster = program.command('cluster').description('commands for the whole cluster');
  const releasing = cluster
    .command('release-barrier')
    .description('end the barrier after a store rollback; confirms that silent hosts are powered off')
    .action(
      withSession(program, (session) =>
        objects.commandAndSay(session, clusterId, 'release-barrier', 'places and allocates again'),
      ),
    );
  withExamples(releasing, 'cluster release-barrier');
}

export function createCli(): Command {
  const program = new Command('photon')
    .description('photoncloud: a private cloud whose control plane is an actor system')
    .option('--as <file>', 'client file with address and token (or PHOTON_CLIENT)')
    .option('-t, --tenant <name>', 'tenant (or PHOTON_TENANT)')
    .configureOutput(commanderOutput)
    .showSuggestionAfterError()
    .showHelpAfterError('photon --help lists the verbs, photon VERB --help shows an example of each')
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
    });
  program.addHelpText(
    'after',
    '\nexit codes: 0 done, 1 refused or failed, 2 usage, 3 not found, 4 unknown (run it again), 5 unreachable,\n' +
      '6 (plan, drift) there is something to do\n',
  );
  program.commandsGroup('Objects:');
  addApply(program);
  addReading(program);
  addOpen(program);
  addChanging(program);
  addConsole(program);
  addAddresses(program);
  addImages(program);
  addStorage(program);
  program.commandsGroup('Hosts, for operators:');
  addHosts(program);
  addRollouts(program);
  addCluster(program);
  addNodes(program);
  program.commandsGroup('When something is stuck:');
  addOperating(program);
  addHistory(program);
  addHelp(program);
  return program;
}

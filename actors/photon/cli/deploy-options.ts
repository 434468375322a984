/** The words of `photon plan` and `photon drift`, and of `photon apply` with a deployment. */
import { Option, type Command } from 'commander';
import { fileOption, numberBetween, timeoutOption, withExamples } from './cli-options.ts';
import { planFiles, showDrift, type PlanSettings } from './deploy-commands.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';

export const pruneOption = (): Option =>
  new Option('--prune', 'also delete what the deployment manages and the files do not declare any more');
export const adoptOption = (): Option =>
  new Option('--adopt', 'take over declared objects that exist and that no deployment manages');
export const deploymentOption = (): Option => new Option('--deployment <name>', 'the deployment that keeps the files');
export const allowDeletesOption = (): Option =>
  new Option('--allow-deletes <count>', 'consent to a plan that deletes so many objects, also those in use').argParser(
    numberBetween(0, 1_000),
  );
const formatOption = (): Option =>
  new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text');

interface PlanOptions extends PlanSettings {
  readonly deployment: string;
  readonly output: string;
  readonly timeout: number;
}

export function addDeploying(program: Command, filesSay: string): void {
  const plan = program
    .command('plan')
    .description('show what a deployment would do to be as the files say; exit code 0: nothing, 6: something')
    .addOption(fileOption(filesSay).makeOptionMandatory())
    .addOption(deploymentOption().makeOptionMandatory())
    .addOption(pruneOption())
    .addOption(adoptOption())
    .addOption(formatOption())
    .addOption(timeoutOption())
    .action(
      withSession(program, (session, options: PlanOptions) =>
        planFiles(session, targetOf(session, 'deployment', options.deployment), options),
      ),
    );
  withExamples(plan, 'plan -f tenant.yaml --deployment web', 'plan -f tenant.yaml --deployment web --prune -o json');
  const drift = program
    .command('drift <name>')
    .description('show what is not as a deployment has applied it; exit code 0: nothing, 6: something')
    .addOption(formatOption())
    .action(
      withSession(program, (session, name: string, { output }: { output: string }) =>
        showDrift(session, targetOf(session, 'deployment', name), output),
      ),
    );
  withExamples(drift, 'drift web', 'drift deployment/acme/web -o json');
}

/**
 * `photon ipam`: the addresses of a network or an external network with their owners, and whether all that is recorded
 * of them agrees.
 */
import type { Command } from 'commander';
import { outputOption, withExamples, type Output } from './cli-options.ts';
import { command, printObject } from './object-commands.ts';
import { withSession } from './session-action.ts';
import type { Session } from './cli-session.ts';
import { targetOf } from './targets.ts';
import { say, warn } from './terminal-text.ts';
import { textTable } from './text-table.ts';

interface Listed {
  readonly used: number;
  readonly all: number;
  readonly addresses: readonly { readonly address: string; readonly mac?: string; readonly owner: string }[];
  readonly next: string | null;
}

interface Verified {
  readonly used: number;
  readonly all: number;
  /** Owners that have an address of their own. */
  readonly ports: number;
  readonly problems: readonly string[];
}

const external = 'external-network';

/** A name alone is that of a network. */
const networkIn = (session: Session, name: string): string =>
  targetOf(session, name.startsWith(`${external}/`) ? external : 'network', name);

const ask = async <Result>(session: Session, id: string, verb: string, params: object): Promise<Result> =>
  ((await command(session, id, verb, params)) as { readonly result: Result }).result;

async function listAddresses(session: Session, id: string, output: Output): Promise<void> {
  const addresses: Listed['addresses'][number][] = [];
  let page: Listed;
  do {
    page = await ask<Listed>(session, id, 'addresses', { after: addresses.at(-1)?.address ?? null });
    addresses.push(...page.addresses);
  } while (page.next !== null);
  if (output !== 'table') return printObject({ used: page.used, all: page.all, addresses }, output);
  // What an external network sees of an address has the MAC of a gateway.
  const hasMacs = addresses.some(({ mac }) => mac !== undefined);
  const head = hasMacs ? ['address', 'MAC', 'owner'] : ['address', 'owner'];
  const lines = addresses.map(({ address, mac = '', owner }) => [address, ...(hasMacs ? [mac] : []), owner]);
  if (lines.length > 0) say(textTable(head, lines));
  return say(`${id}: ${page.used} of ${page.all} addresses are allocated`);
}

async function verifyAddresses(session: Session, id: string): Promise<void> {
  const { used, all, ports, problems } = await ask<Verified>(session, id, 'verify', {});
  for (const problem of problems) say(problem);
  const owners = id.startsWith(`${external}/`) ? 'routers and external addresses' : 'ports';
  say(`${id}: ${used} of ${all} addresses allocated to ${ports} ${owners}, ${problems.length} problems`);
  if (problems.length === 0) return;
  warn(`please report this with the history of the network: photon history ${id}`);
  process.exitCode = 1;
}

export function addAddresses(program: Command): void {
  const ipam = program
    .command('ipam')
    .description('addresses of networks and external networks: who has which, and whether the records agree');
  const list = ipam
    .command('list <network>')
    .description('list the allocated addresses with their owners')
    .addOption(outputOption())
    .action(
      withSession(program, (session, name: string, { output }: { output: Output }) =>
        listAddresses(session, networkIn(session, name), output),
      ),
    );
  withExamples(
    list,
    'ipam list network/acme/front',
    '-t acme ipam list front -o json',
    'ipam list external-network/public',
  );
  const verify = ipam
    .command('verify <network>')
    .description('compare all records of the addresses; exits 1 when they disagree')
    .action(withSession(program, (session, name: string) => verifyAddresses(session, networkIn(session, name))));
  withExamples(verify, 'ipam verify network/acme/front', 'ipam verify external-network/public');
}

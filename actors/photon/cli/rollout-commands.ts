/**
 * `photon rollout`: bring NixOS hosts to systems that were built elsewhere, and see how far that is. A rollout goes on
 * by itself; `--watch` prints a line for each change of a host until it has ended, or waits for `confirm`.
 */
import { rolloutSpec } from '@photoncloud/machines/rollout/rollout-protocol';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { clientClock } from '@photoncloud/runtime/client/client-clock';
import { parseActorId } from '@photoncloud/runtime/contract/identifiers';
import { Option, type Command } from 'commander';
import { numberBetween, timeoutOption, withExamples } from './cli-options.ts';
import { exitCodes, type Session } from './cli-session.ts';
import { deadlineIn, type Deadline } from './deadline.ts';
import { command, commandAndSay } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';
import { jsonText, say } from './terminal-text.ts';
import { stateWord, textTable } from './text-table.ts';

/** A host as the rollout shows it. */
export interface HostLine {
  readonly host: string;
  readonly system: string;
  readonly phase: string;
  readonly why: string;
}

export interface Shown {
  readonly id: string;
  readonly stateName: string;
  readonly lifecycle?: 'live' | 'removed';
  readonly reason?: string | undefined;
  readonly status?: unknown;
}

interface StartOptions {
  readonly system: readonly string[];
  readonly from?: string;
  readonly canary?: string;
  readonly maxParallel?: number;
  readonly hold?: boolean;
  readonly deadline?: number;
  readonly watch?: boolean;
  readonly timeout: number;
}

const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

/** `rollingBack` -> `rolling back` */
const words = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

const linesOf = ({ status }: Shown): readonly HostLine[] =>
  (status as { readonly hosts?: readonly HostLine[] } | null | undefined)?.hosts ?? [];

/** `rolling: 2 of 3 hosts run their new systems` */
export function headline(shown: Shown): string {
  const lines = linesOf(shown);
  const kept = lines.filter(({ phase }) => phase === 'confirmed').length;
  const [state = ''] = shown.stateName.split('.');
  return `${words(state)}: ${kept} of ${lines.length} hosts run their new systems`;
}

/** A line for each host whose phase has changed; of the whole when a rollout begins. @param before phases by host */
export function changedLines(shown: Shown, before: Map<string, string>): readonly string[] {
  const lines = linesOf(shown);
  const width = Math.max(0, ...lines.map(({ host }) => host.length));
  return lines.flatMap(({ host, phase, why }) => {
    const now = `${phase} ${why}`;
    if (before.get(host) === now || (phase === 'waiting' && !before.has(host))) return [];
    before.set(host, now);
    return [`${host.padEnd(width)}  ${words(phase).padEnd(12)}  ${why}`.trimEnd()];
  });
}

const ended = /^(?:completed|failed|aborted)$/;

/** @throws defeat `not_rolled_out` for a rollout that was stopped or ended */
function checkEnd({ id, stateName, reason = '' }: Shown): void {
  if (stateName === 'completed') return;
  const { name = '' } = parseActorId(id) ?? {};
  const next = `; photon rollout status ${name} shows each host`;
  const text = stateName === 'aborted' ? `${id} was ended by an operator${next}` : `${id} has failed: ${reason}`;
  throw new PhotonError('defeat', 'not_rolled_out', text, { public: true });
}

/**
 * Prints each change until the rollout has ended, or is held after its canary.
 * @throws defeat `not_rolled_out`; unknown `wait_timeout`
 */
async function follow({ client }: Session, id: string, deadline: Deadline): Promise<void> {
  const stop = new AbortController();
  const cancel = clientClock.after(deadline.leftMs(), () => stop.abort());
  const phases = new Map<string, string>();
  let state = '';
  try {
    for await (const frame of client.watch({ ids: [id], detail: true }, stop.signal)) {
      const all = 'actors' in frame ? frame.actors : 'actor' in frame ? [frame.actor] : [];
      for (const shown of all as readonly Shown[]) {
        for (const line of changedLines(shown, phases)) say(line);
        [state = ''] = shown.stateName.split('.');
        if (state === 'holding') {
          const { name = '' } = parseActorId(id) ?? {};
          return say(`${headline(shown)}; photon rollout confirm ${name} lets the others follow`);
        }
        if (!ended.test(state)) continue;
        say(headline(shown));
        return checkEnd({ ...shown, stateName: state });
      }
    }
  } catch (error) {
    if (!(stop.signal.aborted && error instanceof PhotonError && error.record.code === 'call_aborted')) throw error;
  } finally {
    cancel();
    stop.abort();
  }
  throw new PhotonError('unknown', 'wait_timeout', `${id} is still ${state} after ${deadline.seconds} s`);
}

/** Names of the hosts of the cluster, in their order. */
async function hostsOf({ client }: Session): Promise<readonly string[]> {
  const { actors } = await client.call('actor.list', { kind: 'host' });
  return (actors as readonly Shown[]).flatMap(({ id }) => parseActorId(id)?.name ?? []).toSorted();
}

/**
 * `HOST=PATH` names one; a path alone is for every host of the cluster that is not named.
 * @throws rejection `rollout_invalid`
 */
export function systemsOf(given: readonly string[], all: readonly string[]): { host: string; system: string }[] {
  const named = given.flatMap((text) => {
    if (text.startsWith('/')) return [];
    const at = text.indexOf('=');
    if (at < 1) throw reject('rollout_invalid', `${text} is no HOST=PATH; name what nix build made`);
    return [{ host: text.slice(0, at), system: text.slice(at + 1) }];
  });
  const [forAll, second] = given.filter((text) => text.startsWith('/'));
  if (second !== undefined) throw reject('rollout_invalid', 'two systems are given for all hosts; name their hosts');
  if (forAll === undefined) return named;
  const others = all.filter((host) => !named.some((one) => one.host === host));
  return [...named, ...others.map((host) => ({ host, system: forAll }))];
}

async function start(session: Session, name: string, options: StartOptions): Promise<void> {
  const id = targetOf(session, 'rollout', name);
  const { system, from, canary, maxParallel, hold, deadline: deadlineSeconds, watch, timeout } = options;
  const all = system.some((text) => text.startsWith('/')) ? await hostsOf(session) : [];
  const given = { from, canary, maxParallel, holdAfterCanary: hold, deadlineSeconds };
  const fields = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const deadline = deadlineIn(timeout);
  await command(session, id, 'create', { spec: { systems: systemsOf(system, all), ...fields } }, deadline);
  if (watch !== true) return say(`${id} has begun; photon rollout status ${name} --watch shows how far it is`);
  return await follow(session, id, deadline);
}

interface StatusOptions {
  readonly output: 'table' | 'json';
  readonly watch?: boolean;
  readonly timeout: number;
}

/** Ends with 1 for a rollout that was stopped or ended. */
async function showStatus(session: Session, name: string, { output, watch, timeout }: StatusOptions): Promise<void> {
  const id = targetOf(session, 'rollout', name);
  if (watch === true) return await follow(session, id, deadlineIn(timeout));
  const shown = await session.client.call('actor.get', { id });
  const { stateName, reason = '' } = shown;
  if (/^(?:failed|aborted)$/.test(stateName)) process.exitCode = exitCodes.refused;
  const lines = linesOf(shown);
  if (output === 'json') return say(jsonText({ rollout: id, state: stateName, reason, hosts: lines }, 2));
  say(`${id} ${headline(shown)}`);
  say(
    textTable(
      ['host', 'phase', 'system', 'why'],
      lines.map(({ host, phase, system, why }) => [host, stateWord(words(phase)), system, why]),
    ),
  );
  return reason === '' ? undefined : say(reason);
}

export function addRollouts(program: Command): void {
  const rollout = program.command('rollout').description('bring NixOS hosts to systems that were built elsewhere');
  const spec = rolloutSpec.shape;
  const starting = rollout
    .command('start <name>')
    .description('all hosts receive and verify their systems; then one is activated, then the others')
    .requiredOption('--system <host=path>', 'what a host is to run, repeatable; a path alone: all other hosts', collect)
    .option('--from <cache>', spec.from.description ?? '')
    .option('--canary <host>', 'the host that is activated first, alone; default: the first')
    .option('--max-parallel <n>', 'hosts that are activated at once afterwards; default 1', numberBetween(1, 32))
    .option('--hold', 'after the canary, wait for photon rollout confirm')
    .option('--deadline <seconds>', 'how long a host may take for either part; default 3600', numberBetween(5, 86_400))
    .option('--watch', 'print a line for each change, until it has ended')
    .addOption(timeoutOption(86_400))
    .action(withSession(program, (session, name: string, options: StartOptions) => start(session, name, options)));
  withExamples(
    starting,
    'rollout start november --system w1=/nix/store/...-nixos-system-w1 --from http://192.0.2.1/cache --watch',
    'rollout start november --system "$(readlink -f result)" --canary w1 --max-parallel 4 --hold',
  );
  const showing = rollout
    .command('status <name>')
    .description('show how far a rollout is, host by host; ends with 1 when it has failed or was ended')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['table', 'json']).default('table'))
    .option('--watch', 'print a line for each change, until it has ended')
    .addOption(timeoutOption(86_400))
    .action(
      withSession(program, (session, name: string, options: StatusOptions) => showStatus(session, name, options)),
    );
  withExamples(showing, 'rollout status november', 'rollout status november -o json');
  for (const [verb, says, now] of [
    ['confirm', 'let the others follow a canary that was held', 'goes on with the other hosts'],
    ['abort', 'activate no further host; those that are not confirmed go back', 'is being ended'],
  ] as const) {
    const changing = rollout
      .command(`${verb} <name>`)
      .description(says)
      .action(
        withSession(program, (session, name: string) =>
          commandAndSay(session, targetOf(session, 'rollout', name), verb, now),
        ),
      );
    withExamples(changing, `rollout ${verb} friday`);
  }
}

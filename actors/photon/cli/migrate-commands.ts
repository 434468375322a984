/**
 * `photon vm migrate` and `photon vm cancel-migration`: a VM moves to another host while it runs. Both wait until the
 * VM is where it stays, and say how that went; `--watch` prints a line for each change meanwhile.
 */
import { idOf } from '@photoncloud/machines/values/identifiers';
import type { MigrationSummary } from '@photoncloud/machines/migration/migration-protocol';
import type { MigrationProgress } from '@photoncloud/machines/values/wiring';
import { clientClock } from '@photoncloud/runtime/client/client-clock';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { parseActorId } from '@photoncloud/runtime/contract/identifiers';
import { Option, type Command } from 'commander';
import { numberBetween, timeoutOption, withExamples } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { deadlineIn, type Deadline } from './deadline.ts';
import { command } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';
import { jsonText, say, showProgress, warn } from './terminal-text.ts';

interface MigrateOptions {
  readonly to?: string;
  readonly watch?: boolean;
  readonly wait: boolean;
  readonly maxDowntime?: number;
  readonly onStall?: string;
  readonly timeout: number;
}

/** How the last move of a VM went; its hosts are shown to operators only. */
interface Ended extends Omit<MigrationSummary, 'from' | 'to'> {
  readonly hosts: Pick<MigrationSummary, 'from' | 'to'> | null;
}

interface Shown {
  readonly id: string;
  readonly stateName: string;
  readonly lifecycle?: 'live' | 'removed';
  readonly status?: unknown;
}

const downtimeMs = numberBetween(10, 10_000);
/** What is cleared up on the former host after the move has ended, as a rule within seconds. */
const clearingMs = 20_000;

const migrationOf = (vm: string): string => {
  const { scope = '', name = '' } = parseActorId(vm) ?? {};
  return idOf('migration', scope, name);
};

function lastOf(status: unknown): Ended | null {
  const { lastMigration, lastMigrationHosts = null } = (status ?? {}) as {
    readonly lastMigration?: Omit<Ended, 'hosts'> | null;
    readonly lastMigrationHosts?: Ended['hosts'];
  };
  return lastMigration ? { ...lastMigration, hosts: lastMigrationHosts } : null;
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** How long the rest takes at the present rates, in bytes per second. */
function estimate({ remainingBytes, rate, dirtyRate }: MigrationProgress): string {
  if (rate === 0) return '';
  if (remainingBytes === 0) return '  about 0 s left';
  if (rate <= dirtyRate) return '  no end in sight: its guest writes as fast as is sent';
  return `  about ${Math.ceil(remainingBytes / (rate - dirtyRate))} s left`;
}

/** What a migration does now, in one line. */
export function progressText({ stateName, status }: Pick<Shown, 'stateName' | 'status'>): string {
  const [state = ''] = stateName.split('.');
  const { progress = null } = (status ?? {}) as { readonly progress?: MigrationProgress | null };
  if (state !== 'sending' || progress === null) return state;
  const { phase, totalBytes, remainingBytes, dirtyRate } = progress;
  const sent = `${mib(Math.max(0, totalBytes - remainingBytes))} of ${mib(totalBytes)} MiB`;
  return `${phase.padEnd(9)}  ${sent}  dirty ${mib(dirtyRate)} MiB/s${estimate(progress)}`;
}

/** `moved w1 -> w2: live, 210.5 MiB sent, guest paused 41 ms, gap 83 ms, 1 connection kept, took 6.2 s`. */
export function endedText({ hosts, method, sentBytes, pauseMs, gapMs, keptFlows, startedAt, endedAt }: Ended): string {
  const whole = (ms: number | null): string => (ms === null ? 'not measured' : `${Math.round(ms)} ms`);
  const way = hosts === null ? 'to another host' : `${hosts.from} -> ${hosts.to}`;
  const how = method === 'stopped' ? 'its guest stood still for all of it' : (method ?? 'unknown method');
  const parts = [
    `${mib(sentBytes)} MiB sent`,
    `guest paused ${whole(pauseMs)}`,
    `gap ${whole(gapMs)}`,
    `${keptFlows} ${keptFlows === 1 ? 'connection' : 'connections'} kept`,
    `took ${seconds(endedAt - startedAt)}`,
  ];
  return `moved ${way}: ${[how, ...parts].join(', ')}`;
}

/** Frames of a watch, as objects. */
async function* changesOf({ client }: Session, ids: readonly string[], signal: AbortSignal): AsyncGenerator<Shown> {
  for await (const frame of client.watch({ ids: [...ids], detail: true }, signal)) {
    if ('actors' in frame) yield* frame.actors as readonly Shown[];
    else if ('actor' in frame) yield { ...(frame.actor as Shown), ...(frame.type === 'removed' ? gone : {}) };
  }
}
const gone = { lifecycle: 'removed' } as const;

/**
 * Until the VM has ended a move that is not the one that began at `before`.
 * @throws defeat `not_settled` when the VM is gone; unknown `wait_timeout`
 */
async function awaitEnd(
  session: Session,
  vm: string,
  before: number,
  deadline: Deadline,
  onChange: (text: string) => void,
): Promise<Ended> {
  const stop = new AbortController();
  const cancel = clientClock.after(deadline.leftMs(), () => stop.abort());
  let text = '';
  try {
    for await (const shown of changesOf(session, [vm, migrationOf(vm)], stop.signal)) {
      if (shown.id === vm) {
        const last = lastOf(shown.status);
        if (last !== null && last.startedAt !== before) return last;
        if (shown.lifecycle === 'removed')
          throw new PhotonError('defeat', 'not_settled', `${vm} was removed`, { public: true });
      } else if (shown.lifecycle !== 'removed') {
        const now = progressText(shown);
        if (now !== text) onChange(now);
        text = now;
      }
    }
  } catch (error) {
    if (!(stop.signal.aborted && error instanceof PhotonError && error.record.code === 'call_aborted')) throw error;
  } finally {
    cancel();
    stop.abort();
    showProgress('');
  }
  const where = text === '' ? '' : ` (${text})`;
  throw new PhotonError('unknown', 'wait_timeout', `${vm} still moves after ${deadline.seconds} s${where}`);
}

/** Until nothing is left of it on the other host, so that the next move may begin. */
async function awaitCleared(session: Session, vm: string): Promise<void> {
  const stop = new AbortController();
  const cancel = clientClock.after(clearingMs, () => stop.abort());
  const id = migrationOf(vm);
  try {
    const { lifecycle } = await session.client.call('actor.get', { id });
    if (lifecycle === 'removed') return;
    for await (const shown of changesOf(session, [id], stop.signal)) {
      if (shown.lifecycle === 'removed') return;
      showProgress(`${vm} runs there; ${progressText(shown)}`);
    }
    warn(`what is left of it on the other host is still being cleared up: photon describe ${id}`);
  } catch (error) {
    if (!(error instanceof PhotonError && ['call_aborted', 'not_found'].includes(error.record.code))) throw error;
  } finally {
    cancel();
    stop.abort();
    showProgress('');
  }
}

const startOf = async ({ client }: Session, vm: string): Promise<number> =>
  lastOf((await client.call('actor.get', { id: vm })).status)?.startedAt ?? 0;

/** What is asked for besides the defaults of the server. */
const paramsOf = ({ to, maxDowntime, onStall, timeout }: MigrateOptions) => ({
  ...(to === undefined ? {} : { to }),
  ...(maxDowntime === undefined ? {} : { maxDowntimeMs: maxDowntime }),
  ...(onStall === undefined ? {} : { onStall }),
  deadlineSeconds: Math.min(86_400, Math.max(10, timeout)),
});

async function migrate(session: Session, name: string, options: MigrateOptions): Promise<void> {
  const vm = targetOf(session, 'vm', name);
  const deadline = deadlineIn(options.timeout);
  const before = await startOf(session, vm);
  const accepted = await command(session, vm, 'migrate', paramsOf(options), deadline);
  if (!options.wait) return say(`${vm} migrate accepted ${jsonText(accepted)}`);
  const shows = options.watch === true ? say : (text: string): void => showProgress(`${vm} ${text}`);
  const ended = await awaitEnd(session, vm, before, deadline, shows);
  if (ended.result !== 'moved') throw stayed(vm, ended);
  say(`${vm} ${endedText(ended)}`);
  return await awaitCleared(session, vm);
}

const placeOf = ({ hosts }: Pick<Ended, 'hosts'>): string => (hosts === null ? 'where it was' : `on ${hosts.from}`);

function stayed(vm: string, { hosts, failure }: Ended): PhotonError {
  const where = placeOf({ hosts });
  const why = failure?.message ?? 'the move ended';
  return new PhotonError('defeat', failure?.code ?? 'not_moved', `${vm} runs ${where}: ${why}`, { public: true });
}

async function cancelMigration(session: Session, name: string, options: { readonly timeout: number }): Promise<void> {
  const vm = targetOf(session, 'vm', name);
  const deadline = deadlineIn(options.timeout);
  const before = await startOf(session, vm);
  await command(session, migrationOf(vm), 'cancel', {}, deadline).catch((error: unknown) => {
    if (error instanceof PhotonError && error.record.code === 'not_found')
      throw reject('not_found', `${vm} is not being moved`);
    throw error;
  });
  const ended = await awaitEnd(session, vm, before, deadline, showProgress);
  if (ended.result === 'moved') return say(`${vm} ${endedText(ended)}`);
  return say(`${vm} runs ${placeOf(ended)}; its move was ended`);
}

/** @param vm the command whose subcommands they become */
export function addMigration(program: Command, vm: Command): void {
  const moving = vm
    .command('migrate <name>')
    .description('move a VM to another host while it runs, and wait until it is there')
    .option('--to <host>', 'host to move it to; default: any that has room')
    .option('--watch', 'print a line for each change: phase, bytes of the whole, what the guest writes, an estimate')
    .option('--no-wait', 'return once a host is reserved')
    .option('--max-downtime <ms>', 'the longest pause of the guest that is planned for; default 300', downtimeMs)
    .addOption(
      new Option(
        '--on-stall <what>',
        'when the guest writes as fast as is sent: stay (the default), slow it down, or stop it for the rest',
      ).choices(['abort', 'throttle', 'pause']),
    )
    .addOption(timeoutOption(3_600))
    .action(withSession(program, (session, name: string, options: MigrateOptions) => migrate(session, name, options)));
  withExamples(moving, 'vm migrate web-1', '-t acme vm migrate web-1 --to w2 --watch');
  const ending = vm
    .command('cancel-migration <name>')
    .description('end the move of a VM that has not changed its host yet; its guest goes on where it is')
    .addOption(timeoutOption())
    .action(
      withSession(program, (session, name: string, options: { timeout: number }) =>
        cancelMigration(session, name, options),
      ),
    );
  withExamples(ending, 'vm cancel-migration web-1');
}

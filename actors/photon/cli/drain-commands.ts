/**
 * `photon host`: cordon, uncordon, fence and drain hosts. A drain goes on by itself; `--watch` shows it until the host
 * is empty or nothing of it can move.
 */
import type { DrainProgress } from '@photoncloud/machines/drain/drain-protocol';
import { clientClock } from '@photoncloud/runtime/client/client-clock';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import { numberBetween, timeoutOption, withExamples } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { deadlineIn, type Deadline } from './deadline.ts';
import { command, commandAndSay } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { targetOf } from './targets.ts';
import { say } from './terminal-text.ts';

interface DrainOptions {
  readonly maxParallel?: number;
  readonly restart?: boolean;
  readonly watch?: boolean;
  readonly timeout: number;
}

interface Shown {
  readonly lifecycle?: 'live' | 'removed';
  readonly status?: unknown;
}

const counted = (count: number, what = 'VM'): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** `2 VMs moved, 1 on its way, 4 to go, 1 stays`. */
export function drainText({ moved, moving, pending, waitingCount }: DrainProgress): string {
  const parts = [
    `${counted(moved)} moved`,
    ...(moving.length === 0 ? [] : [`${moving.length} on ${moving.length === 1 ? 'its' : 'their'} way`]),
    ...(pending === 0 ? [] : [`${pending} to go`]),
    ...(waitingCount === 0 ? [] : [`${waitingCount} ${waitingCount === 1 ? 'stays' : 'stay'}`]),
  ];
  return parts.join(', ');
}

/** A line for each VM that stays, with what can be done. */
export const stayingText = ({ waiting, waitingCount }: DrainProgress): readonly string[] => [
  ...waiting.map(({ vm, code, message }) => `  ${vm} stays: ${message} (${code})`),
  ...(waitingCount > waiting.length
    ? [`  and ${waitingCount - waiting.length} more, which photon describe shows of its drain`]
    : []),
];

const progressOf = (status: unknown): DrainProgress | null =>
  (status as { readonly drain?: { readonly progress: DrainProgress | null } | null } | undefined)?.drain?.progress ??
  null;

/** The changes of one host, with its status. */
async function* changesOf({ client }: Session, id: string, signal: AbortSignal): AsyncGenerator<Shown> {
  for await (const frame of client.watch({ ids: [id], detail: true }, signal)) {
    if ('actors' in frame) yield* frame.actors as readonly Shown[];
    else if ('actor' in frame) yield frame.actor as Shown;
  }
}

/**
 * Until no VM is left, or each that is left has said why it stays. @returns the last progress
 * @throws defeat `drain_ended` when an operator has ended it; unknown `wait_timeout`
 */
async function awaitDrain(session: Session, id: string, deadline: Deadline): Promise<DrainProgress> {
  const stop = new AbortController();
  const cancel = clientClock.after(deadline.leftMs(), () => stop.abort());
  let text = '';
  try {
    for await (const { status } of changesOf(session, id, stop.signal)) {
      const ordered = (status as { readonly drain?: unknown } | undefined)?.drain ?? null;
      if (ordered === null)
        throw new PhotonError('defeat', 'drain_ended', `the drain of ${id} was ended`, { public: true });
      const progress = progressOf(status);
      if (progress === null) continue;
      const now = drainText(progress);
      if (now !== text) say(now);
      text = now;
      if (progress.phase === 'drained' || (progress.phase === 'waiting' && progress.waitingCount > 0)) return progress;
    }
  } catch (error) {
    if (!(stop.signal.aborted && error instanceof PhotonError && error.record.code === 'call_aborted')) throw error;
  } finally {
    cancel();
    stop.abort();
  }
  throw new PhotonError(
    'unknown',
    'wait_timeout',
    `${id} is still being drained after ${deadline.seconds} s (${text})`,
  );
}

async function drain(session: Session, name: string, { maxParallel, restart, watch, timeout }: DrainOptions) {
  const id = targetOf(session, 'host', name);
  const deadline = deadlineIn(timeout);
  const params = { ...(maxParallel === undefined ? {} : { maxParallel }), ...(restart === true ? { restart } : {}) };
  await command(session, id, 'drain', params, deadline);
  if (watch !== true) return say(`${id} is cordoned and being drained; photon describe ${id} shows how far it is`);
  const ended = await awaitDrain(session, id, deadline);
  if (ended.phase === 'drained') return say(`${id} is drained: no VM is left on it`);
  for (const line of stayingText(ended)) say(line);
  const text = `${counted(ended.waitingCount)} of ${id} cannot move; the drain goes on, and asks again within a minute`;
  throw new PhotonError('defeat', 'not_drained', text, { public: true });
}

function addFence(program: Command, host: Command): void {
  const fence = host
    .command('fence <host>')
    .description('declare a silent host powered off, so that its VMs may start elsewhere')
    .requiredOption('--powered-off', 'confirms that you have verified it; a VM that still runs there would run twice')
    .requiredOption('--reason <text>', 'how you have verified it; kept with the host and in its history')
    .action(
      withSession(program, async (session, name: string, options: { poweredOff: true; reason: string }) => {
        const id = targetOf(session, 'host', name);
        const { poweredOff, reason } = options;
        await commandAndSay(session, id, 'fence', 'fenced: its VMs may start elsewhere', { poweredOff, reason });
      }),
    );
  withExamples(fence, 'host fence w1 --powered-off --reason "power supply burnt, unplugged"');
}

export function addHosts(program: Command): void {
  const host = program.command('host').description('cordon, drain and fence hosts');
  for (const [verb, says, now] of [
    ['cordon', 'exclude a host from new placements', 'cordoned'],
    ['uncordon', 'allow new placements on a host again; a drain of it ends', 'uncordoned'],
    ['cancel-drain', 'move no further VM off a host; it stays cordoned', 'is not drained any more'],
  ] as const) {
    const changing = host
      .command(`${verb} <host>`)
      .description(says)
      .action(
        withSession(program, (session, name: string) =>
          commandAndSay(session, targetOf(session, 'host', name), verb, now),
        ),
      );
    withExamples(changing, `host ${verb} w1`);
  }
  const draining = host
    .command('drain <host>')
    .description('cordon a host and move its VMs to others while they run')
    .option('--max-parallel <n>', 'VMs that move at the same time; default 2', numberBetween(1, 16))
    .option('--restart', 'stop a VM that cannot move while it runs, and start it elsewhere if its disks are shared')
    .option('--watch', 'print a line for each change, until no VM is left or each that is left has said why it stays')
    .addOption(timeoutOption(3_600))
    .action(withSession(program, (session, name: string, options: DrainOptions) => drain(session, name, options)));
  withExamples(draining, 'host drain w1 --watch', 'host drain w1 --max-parallel 4');
  addFence(program, host);
}

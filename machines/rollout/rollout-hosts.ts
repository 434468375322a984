/**
 * The hosts of a rollout: what each was told, how far it is, and whose turn is next. Pure functions of the context and
 * the event. A host is under way from the order to activate until it has ended; that it was reached over a new
 * connection, or says that it is confirmed, is no end of its own: only what it reports is.
 */
import { assertEvent } from 'xstate';
import {
  hostRolloutAbort,
  hostRolloutActivate,
  hostRolloutConfirm,
  hostRolloutReceive,
  orderFreshMs,
  type HostPhase,
  type SystemRequest,
} from '../host-rollout/host-rollout-protocol.ts';
import { hostFollow, hostUnfollow, type HostStanding } from '../host/host-protocol.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { counterpartOf, hostId, partsOfId } from '../values/identifiers.ts';
import { reject, reply, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { RolloutEvent, RolloutSpec } from './rollout-protocol.ts';

export interface HostProgress {
  readonly host: string;
  readonly system: string;
  /** What the host was told last. */
  readonly told: 'nothing' | 'receive' | 'activate' | 'confirm' | 'abort';
  readonly phase: HostPhase | 'waiting';
  readonly why: string;
  /** Wall time of its phase, ms. */
  readonly since: number;
  /** Of the order that it works on; 0: none. */
  readonly orderedAt: number;
  /** Null until the host is known. */
  readonly standing: HostStanding | null;
  /** Since when it is not present; 0: it is. */
  readonly absentSince: number;
  /** It waits for a confirmation, and no connection to it was tried yet. */
  readonly untried: boolean;
}

export interface RolloutContext extends DeclaredContext<RolloutSpec> {
  /** The canary first, then in the order of the spec. */
  readonly hosts: readonly HostProgress[];
  /** Wall times, ms; 0: not yet. */
  readonly startedAt: number;
  readonly endedAt: number;
}

export type At = Seen<RolloutContext, RolloutEvent>;
type Change = Partial<RolloutContext>;
type Done = Acted<RolloutContext>;

/** Hosts that receive at the same time: all of them read from one cache. */
const mostReceiving = 8;
/** In a rollout that has stopped nobody waits longer for a host that is not present. */
const silenceMs = 30_000;

const ends: ReadonlySet<HostProgress['phase']> = new Set(['confirmed', 'untouched', 'refused', 'rolledBack', 'failed']);
export const hasEnded = ({ phase }: HostProgress): boolean => ends.has(phase);
const isBroken = ({ phase }: HostProgress): boolean => ['refused', 'rolledBack', 'failed'].includes(phase);
/** Told to activate, and not ended. */
const isUnderWay = (one: HostProgress): boolean => ['activate', 'confirm'].includes(one.told) && !hasEnded(one);
const isWaitingForTurn = ({ told, phase }: HostProgress): boolean => told === 'receive' && phase === 'verified';

/** @throws TypeError before the first declaration */
export function specOf({ id, spec }: Pick<RolloutContext, 'id' | 'spec'>): RolloutSpec {
  if (spec === null) throw new TypeError(`${id} has no spec`);
  return spec;
}

export const canaryOf = ({ canary, systems }: RolloutSpec): string => canary ?? systems[0]?.host ?? '';

const counterpart = ({ id }: RolloutContext, host: string): string => counterpartOf(id, 'host-rollout', host);

const requestOf = (context: RolloutContext, system: string): SystemRequest => ({
  id: context.uid,
  system,
  from: specOf(context).from,
  askedAt: context.startedAt,
});

/** What its schema cannot say of a spec. */
export function problemsOf(spec: RolloutSpec) {
  const names = spec.systems.map(({ host }) => host);
  const twice = names.flatMap((host, at) =>
    names.indexOf(host) === at ? [] : [{ path: `spec.systems.${at}.host`, message: `${host} is named twice` }],
  );
  const stranger =
    spec.canary === null || names.includes(spec.canary)
      ? []
      : [{ path: 'spec.canary', message: `${spec.canary} is none of the hosts; there are ${names.join(', ')}` }];
  return [...twice, ...stranger].map((one) => ({ code: 'rollout_invalid', ...one }));
}

/** From the declaration, when it was accepted. */
export function begin({ context, event }: At): Change {
  const spec = specOf(context);
  const first = canaryOf(spec);
  const { at } = event.meta;
  const line = { told: 'nothing', phase: 'waiting', why: '', since: at, orderedAt: 0, standing: null } as const;
  const hosts = spec.systems.map((one) => ({ ...one, ...line, absentSince: at, untried: false }));
  const ordered = hosts.toSorted((a, b) => Number(b.host === first) - Number(a.host === first));
  return { hosts: ordered, startedAt: at };
}

export const followHosts = ({ context }: At): readonly Asked[] =>
  context.hosts.map(({ host }) => send(hostId(host), hostFollow({})));
export const unfollowHosts = ({ context }: At): readonly Asked[] =>
  context.hosts.map(({ host }) => send(hostId(host), hostUnfollow({})));

const changed = (
  context: RolloutContext,
  host: string,
  change: (one: HostProgress) => Partial<HostProgress>,
): Change => ({
  hosts: context.hosts.map((one) => (one.host === host ? { ...one, ...change(one) } : one)),
});

export function noteHost({ context, event }: At): Change {
  assertEvent(event, 'host.stands');
  const { host, standing, meta } = event;
  return changed(context, host.name, ({ absentSince }) => ({
    standing,
    absentSince: standing === 'present' ? 0 : absentSince || meta.at,
  }));
}

/** What a host reports. */
export function noteStands({ context, event }: At): Change {
  assertEvent(event, 'host-rollout.stands');
  const { host, phase, why, meta } = event;
  return changed(context, host, (one) =>
    phase === one.phase ? { why } : { phase, why, since: meta.at, untried: phase === 'confirming' },
  );
}

/** What a host that was given up has become. */
export const noteLate = (seen: At): Change =>
  seen.event.type === 'host-rollout.stands' && ends.has(seen.event.phase) ? noteStands(seen) : {};

/** The hosts of `chosen` are told something. */
function order(
  { context, event }: At,
  told: HostProgress['told'],
  chosen: readonly HostProgress[],
  message: (one: HostProgress) => Asked,
): Done {
  const names = new Set(chosen.map(({ host }) => host));
  const orderedAt = event.meta.at;
  const hosts = context.hosts.map((one) => (names.has(one.host) ? { ...one, told, orderedAt } : one));
  return { changes: { hosts }, asks: chosen.map(message) };
}

export function askReceive(seen: At): Done {
  const { context } = seen;
  const busy = context.hosts.filter((one) => one.told === 'receive' && !hasEnded(one) && one.phase !== 'verified');
  const chosen = context.hosts.filter(({ told }) => told === 'nothing').slice(0, mostReceiving - busy.length);
  return order(seen, 'receive', chosen, ({ host, system }) =>
    send(counterpart(context, host), hostRolloutReceive({ rollout: context.id, request: requestOf(context, system) })),
  );
}

/** @param most how many may be under way @param among whose turn it can be */
function activate(seen: At, most: number, among: readonly HostProgress[]): Done {
  const { context, event } = seen;
  // What it is told now may be that a host has failed.
  const free = hasFailed(seen) ? 0 : most - context.hosts.filter(isUnderWay).length;
  // One that is not present is passed over: it may be back, or is overdue some day.
  const chosen = among.filter((one) => isWaitingForTurn(one) && one.standing === 'present').slice(0, Math.max(0, free));
  const message = hostRolloutActivate({ decidedAt: event.meta.at });
  return order(seen, 'activate', chosen, ({ host }) => send(counterpart(context, host), message));
}

export const activateCanary = (seen: At): Done => activate(seen, 1, seen.context.hosts.slice(0, 1));
export const activateNext = (seen: At): Done =>
  activate(seen, specOf(seen.context).maxParallel, seen.context.hosts.slice(1));

/** Those that wait for a confirmation. */
export const toReach = ({ context }: { readonly context: RolloutContext }) => ({
  id: context.uid,
  hosts: context.hosts.filter((one) => one.phase === 'confirming' && one.told === 'activate').map(({ host }) => host),
});

/** Those that were reached are told to keep their systems. */
export function noteReached(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'rollout.reach.done');
  const errors = new Map(event.results.map(({ host, error }) => [host, error]));
  const hosts = context.hosts.map((one) => {
    const error = errors.get(one.host);
    return error === undefined || error === null || one.phase !== 'confirming'
      ? one
      : { ...one, untried: false, why: `cannot be reached over a new connection: ${error}` };
  });
  const reached = hosts.filter(
    (one) => one.phase === 'confirming' && one.told === 'activate' && errors.get(one.host) === null,
  );
  return order({ context: { ...context, hosts }, event }, 'confirm', reached, ({ host }) =>
    send(counterpart(context, host), hostRolloutConfirm({})),
  );
}

/** The effect has ended without a result: all are tried again. */
export const noteUnreached = ({ context }: At): Change => ({
  hosts: context.hosts.map((one) => (one.phase === 'confirming' ? { ...one, untried: false } : one)),
});

/** An order to activate that a host has not obeyed for so long was too old for it: its turn comes again. */
const lostMs = 2 * orderFreshMs;

/** Hosts that take too long count as failed: nobody knows more of them than what they said last. */
export function noteOverdue({ context, event }: At): Change {
  const { at } = event.meta;
  const mostMs = specOf(context).deadlineSeconds * 1_000;
  return {
    hosts: context.hosts.map((one) => {
      const isAbsent = one.absentSince > 0 && at - one.absentSince > mostMs;
      if (hasEnded(one)) return one;
      if (one.told === 'activate' && one.phase === 'verified' && at - one.orderedAt > lostMs)
        return { ...one, told: 'receive' } as const;
      const isLate = one.told !== 'nothing' && !isWaitingForTurn(one) && at - one.orderedAt > mostMs;
      if (!(isLate || isAbsent)) return one;
      const what = one.absentSince > 0 ? 'is silent' : `is still ${one.phase} after ${mostMs / 1_000} s`;
      const said = one.why === '' ? '' : ` (${one.why})`;
      const next = isUnderWay(one) ? '; its agent goes back by itself unless it was confirmed' : '';
      return { ...one, phase: 'failed', why: `${what}${said}${next}`, since: at } as const;
    }),
  };
}

/** Nobody waits in a stopped rollout for hosts that are not present. */
export function giveUpSilent({ context, event }: At): Change {
  const { at } = event.meta;
  return {
    hosts: context.hosts.map((one) => {
      if (hasEnded(one) || one.absentSince === 0 || at - one.absentSince <= silenceMs) return one;
      const wasActivated = !['nothing', 'receive', 'abort'].includes(one.told) || isAfterVerified(one);
      const phase = wasActivated ? 'failed' : 'untouched';
      const next = wasActivated ? '; its agent goes back by itself unless it was confirmed' : '';
      return { ...one, phase, why: `is silent${next}`, since: at } as const;
    }),
  };
}
const isAfterVerified = ({ phase }: HostProgress): boolean =>
  ['activating', 'probing', 'confirming', 'rollingBack'].includes(phase);

/** @param isToEnd hosts that are told to leave their systems; the others that were told nothing stay as they are */
const leave =
  (isToEnd: (one: HostProgress) => boolean) =>
  (seen: At): Done => {
    const { context, event } = seen;
    const hosts = context.hosts.map((one) =>
      one.told === 'nothing' && !hasEnded(one) ? { ...one, phase: 'untouched' as const, since: event.meta.at } : one,
    );
    const chosen = hosts.filter((one) => !['nothing', 'abort'].includes(one.told) && !hasEnded(one) && isToEnd(one));
    return order({ context: { ...context, hosts }, event }, 'abort', chosen, ({ host }) =>
      send(counterpart(context, host), hostRolloutAbort({})),
    );
  };

/** After a failure, hosts that activate their systems go on to their ends. */
export const leaveOthers = leave((one) => !isUnderWay(one));
export const leaveAll = leave(() => true);

export const allPresent = ({ context }: Pick<At, 'context'>): boolean =>
  context.hosts.every(({ standing }) => standing === 'present');
export const hasFailed = ({ context }: Pick<At, 'context'>): boolean => context.hosts.some(isBroken);
export const allVerified = ({ context }: Pick<At, 'context'>): boolean =>
  context.hosts.every(({ phase }) => phase === 'verified');
export const isCanaryConfirmed = ({ context }: Pick<At, 'context'>): boolean => context.hosts[0]?.phase === 'confirmed';
export const allConfirmed = ({ context }: Pick<At, 'context'>): boolean =>
  context.hosts.every(({ phase }) => phase === 'confirmed');
export const allEnded = ({ context }: Pick<At, 'context'>): boolean => context.hosts.every(hasEnded);
export const hasUntried = ({ context }: Pick<At, 'context'>): boolean =>
  context.hosts.some((one) => one.untried && one.told === 'activate');
export const hasToReach = ({ context }: Pick<At, 'context'>): boolean => toReach({ context }).hosts.length > 0;

const names = (hosts: readonly HostProgress[]): string => hosts.map(({ host }) => host).join(', ');

/** Why it has stopped: which host, and what the others are. */
export function noteStop({ context }: At): Change {
  const broken = context.hosts.find(isBroken);
  if (broken === undefined) return {};
  const run = context.hosts.filter(({ phase }) => phase === 'confirmed');
  const left = context.hosts.filter(
    (one) => one.phase === 'untouched' || one.told === 'receive' || one.told === 'nothing',
  );
  const whole = `${broken.host} ${saidOf(broken.phase)}: ${broken.why}`;
  const rest = left.filter(({ host }) => host !== broken.host);
  const parts = [
    `${run.length} of ${context.hosts.length} hosts run their new systems`,
    ...(rest.length === 0 ? [] : [`${names(rest)} ${rest.length === 1 ? 'was' : 'were'} left as before`]),
  ];
  const next = `mend what ${broken.host} says, then start another rollout`;
  return { failure: { code: 'host_failed', message: `${whole}; ${parts.join(', ')}; ${next}`, retryable: false } };
}

const saidOf = (phase: HostProgress['phase']): string =>
  phase === 'refused' ? 'has refused its system' : phase === 'rolledBack' ? 'has gone back' : 'has failed';

export const noteEnd = ({ event }: At): Change => ({ endedAt: event.meta.at });

/** Every command that waits for the begin is told which hosts are not present. */
export function refuseAbsent({ context }: At): Done {
  const absent = context.hosts.filter(({ standing }) => standing !== 'present');
  const [first] = absent;
  const [is, them] = absent.length === 1 ? ['is', 'it'] : ['are', 'them'];
  const message = `${names(absent)} ${is} not present; bring ${them} back, or leave ${them} out of the rollout`;
  const at = specOf(context).systems.findIndex(({ host }) => host === first?.host);
  const issues = [{ path: `spec.systems.${at}.host`, message }];
  const error: Failure = { code: 'host_silent', message, retryable: true };
  return {
    changes: { waiters: [], failure: failureOf(error) },
    asks: context.waiters.map(({ commandId }) => reject({ commandId, code: error.code, message, issues })),
  };
}

const commandOf = ({ event }: At): string => event.meta.commandId ?? '';

export const answerAccepted = (seen: At): readonly Asked[] => [reply(commandOf(seen), { uid: seen.context.uid })];

export function rejectRunning(seen: At): readonly Asked[] {
  const { id } = seen.context;
  const message = `${id} is under way; end it first: photon rollout abort ${partsOfId(id).name}`;
  return [reject({ commandId: commandOf(seen), code: 'rollout_busy', message })];
}

export function rejectConfirm(seen: At): readonly Asked[] {
  const { id } = seen.context;
  const next = `photon rollout status ${partsOfId(id).name} shows how far it is`;
  const message = `${id} does not wait for a confirmation; ${next}`;
  return [reject({ commandId: commandOf(seen), code: 'nothing_to_confirm', message })];
}

/**
 * What an error of the store means for the caller: wait and ask again, load the scripts, have an operator look, or
 * stop. The one place that knows the texts of Redis and of its client. Upholds "unknown stays unknown": a lost reply
 * is `lost`, never a failure.
 */
import { describeCause, PhotonError } from '../contract/errors.ts';

export type StoreTrouble =
  /** No answer; the command may have run. Ask again when connected, on a new connection if this one was `silent`. */
  | { readonly kind: 'lost'; readonly silent: boolean }
  | { readonly kind: 'no_script' }
  /** The store refuses for now; nothing was written. Keep trying, and tell the operator. */
  | { readonly kind: 'refused'; readonly code: string; readonly advice: string; readonly reconnect: boolean }
  /** The store says that we asked something wrong. */
  | { readonly kind: 'bug' };

const refusals: Readonly<Record<string, { readonly advice: string; readonly reconnect: boolean }>> = {
  READONLY: { advice: 'this store is a replica; point the nodes at the primary, or promote it', reconnect: true },
  OLDVERSION: { advice: 'install Redis 7.0 or newer, or Valkey, and start it on the same data', reconnect: true },
  EVICTS: {
    advice: 'set its maxmemory-policy to noeviction, or it drops what it has promised to keep',
    reconnect: true,
  },
  STRANGE: { advice: 'what answers there is no Redis; correct the store URL', reconnect: true },
  CLUSTERED: {
    advice: 'write the store URL as redis+cluster:// with some of its nodes',
    reconnect: true,
  },
  NOFSYNC: {
    advice: 'set its appendfsync to always, or ask for less durability (docs/decisions/0011)',
    reconnect: true,
  },
  STALLED: {
    advice: 'start the missing replicas, or look why they do not follow; for fsync they need appendonly yes',
    reconnect: true,
  },
  DEPOSED: {
    advice:
      'a replica was promoted beside its primary; see that the Sentinels name one, and make the other its replica',
    reconnect: true,
  },
  OOM: { advice: 'the store is at its maxmemory; give it more memory or remove history', reconnect: false },
  MISCONF: { advice: 'the store cannot write to its disk; free space and look at its log', reconnect: false },
  LOADING: { advice: 'the store is reading its files; wait', reconnect: false },
  UNBLOCKED: {
    advice: 'this store became a replica while commits waited for replicas; the nodes go on with the new primary',
    reconnect: true,
  },
  MASTERDOWN: {
    advice: 'this store is a replica that lost its primary; point the nodes at the primary',
    reconnect: true,
  },
  NOREPLICAS: { advice: 'too few replicas answer; start them, or lower min-replicas-to-write', reconnect: false },
  BUSY: { advice: 'a script is stuck in the store; look at it, then SCRIPT KILL', reconnect: false },
  CLUSTERDOWN: { advice: 'the Redis cluster has no owner for some slots; repair it', reconnect: false },
  TRYAGAIN: { advice: 'slots are moving; wait', reconnect: false },
  ASK: { advice: 'slots are moving; wait', reconnect: false },
  MOVED: { advice: 'slots have moved; wait', reconnect: false },
  NOAUTH: { advice: 'the store wants a password; put user and password into the store URL', reconnect: true },
  WRONGPASS: { advice: 'user or password of the store URL is wrong; correct it', reconnect: true },
  NOPERM: { advice: "the store's user may not run this command; grant it in the store's ACL", reconnect: true },
};

const lostCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'EAI_AGAIN',
  'ENOTFOUND',
]);
/** The client's words for a command whose reply has not come in time: its server may be gone without a word. */
const silence = 'Command timed out';

const lostTexts = [
  "Cluster isn't ready",
  'Failed to refresh slots cache',
  'Too many Cluster redirections',
  'All sentinels are unreachable',
  'Connection is closed',
  "Stream isn't writeable",
  silence,
  'connect ETIMEDOUT',
  'Socket closed',
  'Blocking command timed out',
];

export function troubleOf(error: unknown): StoreTrouble {
  if (!(error instanceof Error)) return { kind: 'bug' };
  if (error.name === 'MaxRetriesPerRequestError' || error.name === 'AbortError') return { kind: 'lost', silent: false };
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && lostCodes.has(code)) return { kind: 'lost', silent: false };
  if (lostTexts.some((text) => error.message.includes(text)))
    return { kind: 'lost', silent: error.message.includes(silence) };
  const word = codeOf(error.message);
  if (word === 'NOSCRIPT') return { kind: 'no_script' };
  const refusal = refusals[word];
  return refusal === undefined ? { kind: 'bug' } : { kind: 'refused', code: word, ...refusal };
}

function codeOf(message: string): string {
  // Inside of a script Redis 7.0 and later servers say it in words of their own.
  if (/^ERR (?:The user executing the script can't|ACL failure in script)/.test(message)) return 'NOPERM';
  // Between being demoted and losing its clients a server answers WAIT so; what was written there counts for nothing.
  if (/^ERR WAIT(?:AOF)? cannot be used with replica/.test(message)) return 'UNBLOCKED';
  // The client's parser, on what is not the protocol at all.
  if (message.startsWith('Unknown RESP type')) return 'STRANGE';
  // In a script the code stands first, or behind "ERR Error running script ...: -CODE" on older servers.
  return /^(?:ERR .*?: ?-|-)?([A-Z]{3,12})\b/.exec(message)?.[1] ?? '';
}

/** What to do about an error that may pass. */
export function adviceOn(error: unknown): string {
  const trouble = troubleOf(error);
  return trouble.kind === 'refused' ? trouble.advice : 'see that the store runs and can be reached';
}

/** The client's word for "not connected": it says nothing of why. */
export const saysNothing = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith("Stream isn't writeable");

/** For a request that the store calls wrong: `bug` of `troubleOf`. */
export function refusedForGood(error: unknown, prefix: string): PhotonError {
  // What was read could not be made sense of; it says so itself.
  if (error instanceof PhotonError) return error;
  if (error instanceof Error && codeOf(error.message) === 'WRONGTYPE') {
    const text =
      `a key of the store that starts with ${prefix} is not of our type: something else writes there; ` +
      'give it another store or prefix, and remove or restore that key';
    return new PhotonError('defeat', 'store_key_foreign', text, { cause: error });
  }
  const text = `the store refused a command of ours (${describeCause(error)}); this is a defect, report it`;
  return new PhotonError('bug', 'store_command_refused', text, { cause: error });
}

/**
 * Classifies errors of the store by what the caller must do: retry, load the scripts, wait for an operator, or stop.
 * The only file that knows the error texts of Redis and of ioredis. A lost reply is `lost`, never a failure: the
 * command may have run ("unknown stays unknown" in docs/promises.md).
 */
import { describeCause, PhotonError } from '../contract/errors.ts';

export type StoreTrouble =
  /** No answer; the command may have run. Repeat it when connected, on a new connection if this one was `silent`. */
  | { readonly kind: 'lost'; readonly silent: boolean }
  | { readonly kind: 'no_script' }
  /** The store refuses for now and wrote nothing. Keep retrying, and log the advice for the operator. */
  | { readonly kind: 'refused'; readonly code: string; readonly advice: string; readonly reconnect: boolean }
  /** The store rejects the command itself as wrong; repeating it is useless. */
  | { readonly kind: 'bug' };

const refusals: Readonly<Record<string, { readonly advice: string; readonly reconnect: boolean }>> = {
  READONLY: { advice: 'this store is a replica; point the nodes at the primary, or promote it', reconnect: true },
  OLDVERSION: { advice: 'install Redis 7.0 or newer, or Valkey, and start it on the same data', reconnect: true },
  EVICTS: {
    advice: 'set its maxmemory-policy to noeviction, or it evicts data that it has acknowledged',
    reconnect: true,
  },
  STRANGE: { advice: 'the server at that address is no Redis; correct the store URL', reconnect: true },
  CLUSTERED: {
    advice: 'write the store URL as redis+cluster:// with some of its nodes',
    reconnect: true,
  },
  NOFSYNC: {
    advice: 'set its appendfsync to always, or configure a lower durability (docs/decisions/0011)',
    reconnect: true,
  },
  STALLED: {
    advice: 'start the missing replicas, or find out why they do not follow; for fsync they need appendonly yes',
    reconnect: true,
  },
  DEPOSED: {
    advice:
      'a replica was promoted while its primary still runs; check which one the Sentinels name, ' +
      'and make the other its replica',
    reconnect: true,
  },
  OOM: { advice: 'the store is at its maxmemory; raise it (CONFIG SET maxmemory)', reconnect: false },
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
  NOSCRIPTS: {
    advice: 'a controller or the store node of this release has to connect first, for they load the scripts',
    reconnect: true,
  },
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
/** ioredis' error for a command without a reply in time: the server may be gone without closing the connection. */
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
  // Inside a script, Redis 7.0 and later servers each phrase NOPERM differently.
  if (/^ERR (?:The user executing the script can't|ACL failure in script)/.test(message)) return 'NOPERM';
  // A server answers WAIT so between its demotion and the end of its clients; what it took then will be discarded.
  if (/^ERR WAIT(?:AOF)? cannot be used with replica/.test(message)) return 'UNBLOCKED';
  // From ioredis' parser, when the answer is not the Redis protocol.
  if (message.startsWith('Unknown RESP type')) return 'STRANGE';
  // Errors from a script begin with the code, or on older servers with "ERR Error running script ...: -CODE".
  return /^(?:ERR .*?: ?-|-)?([A-Z]{3,12})\b/.exec(message)?.[1] ?? '';
}

/** What an operator should do about an error that may pass. */
export function adviceOn(error: unknown): string {
  const trouble = troubleOf(error);
  return trouble.kind === 'refused' ? trouble.advice : 'check that the store runs and can be reached';
}

/** ioredis' error for "not connected", which gives no reason. */
export const isNotConnected = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith("Stream isn't writeable");

/** The error for a command that `troubleOf` calls a `bug`. */
export function refusedForGood(error: unknown, prefix: string): PhotonError {
  // Thrown by our own decoding, which says what is wrong.
  if (error instanceof PhotonError) return error;
  if (error instanceof Error && codeOf(error.message) === 'WRONGTYPE') {
    const text =
      `a key of the store that starts with ${prefix} is not of our type: something else writes there; ` +
      'give that program another store or prefix, and remove or restore the key';
    return new PhotonError('defeat', 'store_key_foreign', text, { cause: error });
  }
  const text = `the store refused a command of ours (${describeCause(error)}); this is a defect, report it`;
  return new PhotonError('bug', 'store_command_refused', text, { cause: error });
}

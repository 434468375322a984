/**
 * Limits of the control API (promise G11 of docs/promises.md), listed in docs/limits.md; a node's configuration may
 * override single values. Every excess is answered: by a rejection with retryAfterMs, or by a close code with a reason.
 */
export interface ApiLimits {
  /** The longest frame a client may send; a longer one closes the socket with 1009. */
  readonly maxFrameBytes: number;
  readonly maxDepth: number;
  /** Keys and array elements in one frame, all levels together. */
  readonly maxKeys: number;
  /** From the accepted socket to a successful `auth`. */
  readonly authTimeoutMs: number;
  /** Of a principal; and of an address those whose credential is wrong. */
  readonly handshakesPerS: number;
  /** Connections that have not become a session; above it the one that is open longest is closed. */
  readonly maxIdleSockets: number;
  readonly maxPending: number;
  readonly maxSessions: number;
  readonly maxSessionsPerScope: number;
  readonly commandsPerS: number;
  readonly commandBurst: number;
  readonly scopeCommandsPerS: number;
  readonly scopeCommandBurst: number;
  readonly readsPerS: number;
  readonly readBurst: number;
  readonly scopeReadsPerS: number;
  readonly scopeReadBurst: number;
  /** How long frames of clients are handled, and snapshots of watches taken, in one turn of the event loop. */
  readonly turnMs: number;
  /** A delay of the event loop that lasts, at which clients' requests and new connections are refused. */
  readonly shedDelayMs: number;
  readonly maxInFlight: number;
  readonly maxWatches: number;
  readonly maxWatchIds: number;
  /** How many frames of one watch may be unacknowledged; further changes are coalesced per actor. */
  readonly watchWindow: number;
  readonly bookmarkMs: number;
  /** Unsent bytes at which a session is paused: its socket is not read and its watches send nothing. */
  readonly pauseBytes: number;
  readonly closeBytes: number;
  /** What watches and unsent frames of one scope, or of one principal, may hold in memory. */
  readonly bytesPerScope: number;
  readonly bytesPerPrincipal: number;
  /** How long a session may be paused before it is closed as too slow. */
  readonly slowMs: number;
  readonly heartbeatMs: number;
  /** A command without a reply after this time is answered `unknown`. */
  readonly commandWaitMs: number;
  readonly maxCommandWaitMs: number;
  /** Unspent secrets of a principal, and unspent tickets; above it its own oldest is void. */
  readonly maxPasses: number;
  readonly ticketTtlMs: number;
  readonly secretTtlMs: number;
  readonly sessionTtlMs: number;
  /** How long an answer of `/readyz` counts before the store is asked again. */
  readonly readyMs: number;
}

/** The limits that a client must know to stay within them; sent in hello. */
export const toldLimits = [
  'maxFrameBytes',
  'maxDepth',
  'maxKeys',
  'maxInFlight',
  'maxWatches',
  'maxWatchIds',
  'watchWindow',
  'commandsPerS',
  'readsPerS',
] as const satisfies readonly (keyof ApiLimits)[];

type ToldLimits = Pick<ApiLimits, (typeof toldLimits)[number]>;

export const toldLimitsOf = (limits: ApiLimits): ToldLimits =>
  Object.fromEntries(toldLimits.map((name) => [name, limits[name]])) as unknown as ToldLimits;

export const defaultApiLimits: ApiLimits = {
  // The longest text that is declared, the user data of a VM (64 KiB), escaped as JSON.
  maxFrameBytes: 128 * 1024,
  maxDepth: 16,
  maxKeys: 256,
  authTimeoutMs: 5_000,
  handshakesPerS: 20,
  maxIdleSockets: 512,
  maxPending: 200,
  maxSessions: 5_000,
  maxSessionsPerScope: 100,
  commandsPerS: 50,
  commandBurst: 200,
  scopeCommandsPerS: 500,
  scopeCommandBurst: 1_000,
  readsPerS: 200,
  readBurst: 400,
  scopeReadsPerS: 1_000,
  scopeReadBurst: 2_000,
  turnMs: 10,
  shedDelayMs: 400,
  maxInFlight: 64,
  maxWatches: 32,
  maxWatchIds: 64,
  watchWindow: 256,
  bookmarkMs: 15_000,
  pauseBytes: 4 * 1024 * 1024,
  closeBytes: 16 * 1024 * 1024,
  bytesPerScope: 64 * 1024 * 1024,
  bytesPerPrincipal: 32 * 1024 * 1024,
  slowMs: 30_000,
  heartbeatMs: 20_000,
  commandWaitMs: 30_000,
  maxCommandWaitMs: 120_000,
  maxPasses: 32,
  ticketTtlMs: 30_000,
  secretTtlMs: 60_000,
  sessionTtlMs: 12 * 3_600_000,
  readyMs: 1_000,
};

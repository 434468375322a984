/**
 * Six kinds of error, told apart by what the caller must do (docs/errors.md lists every code).
 *
 * rejection  a chart or policy says no; stored as the receipt; the client acts
 * fault      the world failed and it may pass; the chart backs off
 * defeat     the world failed and it will not pass; the chart fails, an operator acts
 * unknown    no answer; observe first, then decide; never merged with fault
 * ownership_lost  our epoch is stale; drop the activation, undo nothing
 * bug        an assertion broke; crash, the supervisor restarts
 */
export type ErrorGroup = 'rejection' | 'fault' | 'defeat' | 'unknown' | 'ownership_lost' | 'bug';

/** One field of a request that is wrong. `path` is dotted, from the request's root: `spec.disks.0.volume`. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

/** The form in which an error is stored, sent and shown. */
export interface ErrorRecord {
  readonly group: ErrorGroup;
  /** Stable, snake case: `name_busy`. */
  readonly code: string;
  /** What happened, to what, and what to do next; one sentence or two. */
  readonly message: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  /** Only public errors leave the control API as they are. */
  readonly public: boolean;
  readonly actor?: string;
  readonly issues?: readonly Issue[];
  readonly cause?: string;
}

export interface ErrorOptions {
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
  readonly public?: boolean;
  readonly actor?: string;
  readonly issues?: readonly Issue[];
  readonly cause?: unknown;
}

export class PhotonError extends Error {
  readonly record: ErrorRecord;

  constructor(group: ErrorGroup, code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PhotonError';
    this.record = {
      group,
      code,
      message,
      retryable: options.retryable ?? (group === 'fault' || group === 'unknown'),
      public: options.public ?? group === 'rejection',
      ...(options.retryAfterMs === undefined ? {} : { retryAfterMs: options.retryAfterMs }),
      ...(options.actor === undefined ? {} : { actor: options.actor }),
      ...(options.issues === undefined ? {} : { issues: options.issues }),
      ...(options.cause === undefined ? {} : { cause: describeCause(options.cause) }),
    };
  }
}

/** Whether asking again cannot help: what the store holds is spoilt or foreign, or the request was wrong. */
export const isForGood = (error: unknown): error is PhotonError =>
  error instanceof PhotonError && (error.record.group === 'bug' || error.record.group === 'defeat');

/** The chain of causes as one line, for logs and records. */
export function describeCause(cause: unknown): string {
  const lines: string[] = [];
  let at: unknown = cause;
  while (at !== undefined && at !== null && lines.length < 8) {
    lines.push(at instanceof Error ? `${at.name}: ${at.message}` : String(at));
    at = at instanceof Error ? at.cause : undefined;
  }
  return lines.join(' <- ');
}

export const reject = (code: string, message: string, issues?: readonly Issue[]): PhotonError =>
  new PhotonError('rejection', code, message, issues === undefined ? {} : { issues });

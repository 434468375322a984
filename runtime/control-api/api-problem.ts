/**
 * Errors on the wire: converts schema errors and ErrorRecords to what a client gets. An error that is not public is
 * masked and logged with its trace id. Every error that leaves the control API goes through this file.
 */
import type { z } from 'zod';
import { PhotonError, reject, type ErrorRecord, type Issue } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import type { Problem } from './api-schema.ts';

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data: Problem;
}

const rpcCodes: Readonly<Record<string, number>> = {
  frame_malformed: -32600,
  method_not_found: -32601,
  params_invalid: -32602,
  internal: -32603,
};

const titleOf = (code: string): string => `${code.charAt(0).toUpperCase()}${code.slice(1)}`.replaceAll('_', ' ');

export function problemOf(record: ErrorRecord, traceId: string): Problem {
  return {
    type: `urn:photon:error:${record.code}`,
    title: titleOf(record.code),
    detail: record.message,
    group: record.group,
    retryable: record.retryable,
    ...(record.retryAfterMs === undefined ? {} : { retryAfterMs: record.retryAfterMs }),
    ...(record.issues === undefined ? {} : { issues: [...record.issues] }),
    ...(record.actor === undefined ? {} : { actor: record.actor }),
    traceId,
  };
}

/** The part of a record that a client may see; the whole record is logged with the trace id. */
export function publicRecord(record: ErrorRecord, traceId: string, log: Log): ErrorRecord {
  if (record.public) return record;
  log.error({ record, traceId }, 'a request failed for a reason that is not public');
  const unknown = record.group === 'unknown';
  return {
    group: record.group,
    code: unknown ? 'unknown' : 'internal',
    message: unknown
      ? 'It is not known whether this was done; ask again with the same idempotencyKey.'
      : `The request failed inside the control plane; look for trace ${traceId} in the log.`,
    retryable: record.retryable,
    public: true,
    ...(record.retryAfterMs === undefined ? {} : { retryAfterMs: record.retryAfterMs }),
  };
}

export function rpcErrorOf(error: unknown, traceId: string, log: Log): RpcError {
  const bug = new PhotonError('bug', 'internal', 'The control API failed.', { cause: error });
  const record = publicRecord(error instanceof PhotonError ? error.record : bug.record, traceId, log);
  const data = problemOf(record, traceId);
  return { code: rpcCodes[record.code] ?? -32000, message: data.title, data };
}

const maxIssues = 32;

const nouns: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};
const units: Readonly<Record<string, string>> = { string: ' characters', array: ' items' };
const bound = (origin: string, most: string, limit: number | bigint): string =>
  `must ${units[origin] === undefined ? 'be' : 'have'} ${most} ${limit}${units[origin] ?? ''}`;

/** The rule that the field violates, in words. A message that a schema gives explicitly is kept. */
function wordsOf(issue: z.core.$ZodIssue): string {
  const { code, message } = issue;
  const isPlain = /^(?:Invalid (?:input|option|discriminator)|Too (?:small|big))/.test(message);
  if (!isPlain) return message;
  if (code === 'too_small') return bound(issue.origin, 'at least', issue.minimum);
  if (code === 'too_big') return bound(issue.origin, 'at most', issue.maximum);
  if (code === 'invalid_value') return mustBeOneOf(issue.values);
  if (code === 'invalid_union' && 'options' in issue && Array.isArray(issue.options)) return mustBeOneOf(issue.options);
  if (code !== 'invalid_type') return message;
  const received = /received (\w+)/.exec(message)?.[1] ?? 'something else';
  return received === 'undefined'
    ? 'is missing'
    : `must be ${nouns[issue.expected] ?? issue.expected}, not ${received}`;
}

const mustBeOneOf = (values: readonly unknown[]): string =>
  `must be ${values.length > 1 ? 'one of ' : ''}${values.map(String).join(', ')}`;

/** Zod's issues with dotted paths; for a union, the issues of the branch with the fewest. */
export function issuesOf(
  error: { readonly issues: readonly z.core.$ZodIssue[] },
  prefix: readonly PropertyKey[] = [],
): Issue[] {
  const found: Issue[] = [];
  for (const issue of error.issues) {
    const path = [...prefix, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) found.push({ path: [...path, key].join('.'), message: 'unknown field' });
    } else if (issue.code === 'invalid_union' && issue.errors.length > 0) {
      const closest = issue.errors.reduce((best, branch) => (branch.length < best.length ? branch : best));
      found.push(...issuesOf({ issues: closest }, path));
    } else {
      found.push({ path: path.map(String).join('.'), message: wordsOf(issue) });
    }
  }
  return found.slice(0, maxIssues);
}

/** @throws PhotonError `params_invalid`, which names every wrong field */
export function checked<T>(schema: z.ZodType<T>, value: unknown, method: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw paramsInvalid(method, issuesOf(parsed.error));
}

export function paramsInvalid(method: string, issues: readonly Issue[]): PhotonError {
  const first = issues[0];
  const where = first === undefined ? '' : `: ${first.path === '' ? 'params' : first.path}: ${first.message}`;
  return reject('params_invalid', `The params of ${method} are not valid${where}`, issues);
}

/**
 * Why an actor is where it is, from what its status says by convention (runtime/contract/shown-status.ts) or from its
 * history. The status is read with care: it comes from a kind that this file does not know. Pure.
 */
import type { ShownCondition, ShownFailure } from '../../contract/shown-status.ts';
import type { Meaning } from '../state-meaning.ts';
import type { HistoryRow } from './inspector-feed.ts';

export interface Reason {
  readonly code: string | null;
  readonly text: string;
  /** Whether the actor tries again by itself; null when nothing says so. */
  readonly retryable: boolean | null;
}

const fieldIn = (value: unknown, field: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[field] : undefined;

/** Empty when the field is no list. */
export const listIn = <Item>(status: unknown, field: string): readonly Item[] => {
  const list = fieldIn(status, field);
  return Array.isArray(list) ? (list as readonly Item[]) : [];
};

function failureIn(value: unknown, field: string): Reason | undefined {
  const failure = fieldIn(value, field) as ShownFailure | undefined;
  const text = fieldIn(failure, 'message');
  if (failure === undefined || typeof text !== 'string') return undefined;
  return { code: failure.code, text, retryable: failure.retryable };
}

/**
 * Its failure; in a state that stands for one, or at the end, what its conditions say, or the step that led there.
 *
 * @param step the last one that moved it, if it was read
 */
export function reasonOf(status: unknown, meaning: Meaning, step: HistoryRow | undefined): Reason | null {
  const failure = failureIn(status, 'failure');
  if (failure !== undefined) return failure;
  if (meaning === 'steady' || meaning === 'changing') return null;
  const condition = listIn<ShownCondition>(status, 'conditions').find(
    ({ type, status: value, message }) => type === 'Ready' && value !== 'True' && message !== '',
  );
  if (condition !== undefined) return { code: condition.reason, text: condition.message, retryable: null };
  const error = failureIn(step?.event, 'error') ?? failureIn(step?.event, 'failure');
  if (error !== undefined) return error;
  const said = fieldIn(step?.event, 'reason');
  return typeof said === 'string' ? { code: null, text: said, retryable: null } : null;
}

/** Conditions of declared objects: named facts for `wait`, the CLI and the inspector. Pure. */
import type { Failure } from './failures.ts';

/** A named fact about an object, for `wait`, the CLI and the inspector. */
export interface Condition {
  /** `Ready`, `RestartRequired` ... */
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** One word, CamelCase: `Claiming`. */
  readonly reason: string;
  readonly message: string;
  /** Wall time of the last change of status, ms since the epoch. */
  readonly since: number;
}

export interface ConditionParams {
  readonly type?: string;
  readonly status: Condition['status'];
  readonly reason: string;
  readonly message?: string;
}

/** The list with one condition set; `since` changes only with its status. */
export function withCondition(
  conditions: readonly Condition[],
  { type = 'Ready', status, reason, message = '' }: ConditionParams,
  at: number,
): readonly Condition[] {
  const known = conditions.find((one) => one.type === type);
  if (known?.status === status && known.reason === reason && known.message === message) return conditions;
  const condition = { type, status, reason, message, since: known?.status === status ? known.since : at };
  return known === undefined ? [...conditions, condition] : conditions.map((one) => (one === known ? condition : one));
}

/** Type of the condition that says whether the hosts have what was declared. */
export const realized = 'Realized';
/** Its reason while a host has lost what it had, and once the host has made it again. */
export const lost = 'Lost';
export const madeAgain = 'MadeAgain';

/** What a host has lost of an object and has not made again yet. */
export const lossIn = (conditions: readonly Condition[]): Condition | undefined =>
  conditions.find(({ type, reason }) => type === realized && reason === lost);

/** Why an object is not as it was declared, for lists: its failure, or what its condition `Ready` says. */
export function reasonOf({
  failure = null,
  conditions = [],
}: {
  readonly failure?: Failure | null;
  readonly conditions?: readonly Condition[];
}): string | null {
  if (failure !== null) return failure.message;
  const isReady = conditions.find(({ type }) => type === 'Ready');
  return isReady?.status === 'False' && isReady.message !== '' ? isReady.message : null;
}

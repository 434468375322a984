/** What a VM knows of the silence of its host. */
import { withCondition, type Condition } from '../values/conditions.ts';
import type { Failure } from '../values/failures.ts';

export interface Loss {
  /** Name of the host. */
  readonly host: string;
  /** Wall time when the VM was told, ms. */
  readonly toldAt: number;
  /** Nothing runs there for the VM: it was being prepared, or between two runs. */
  readonly idle: boolean;
  /** Names of all silent hosts, from the moment at which the VM may give up its run; null before. */
  readonly absent: readonly string[] | null;
  /** Why it may not give up its run now. */
  readonly refusal: Failure | null;
}

/** A run that was given up. */
export interface LastLoss {
  readonly host: string;
  /** Wall times, ms: when the VM was told that the host is lost, and when no host could reach the run there. */
  readonly toldAt: number;
  readonly leftAt: number;
}

export interface LossContext {
  /** Null while its host is present. */
  readonly loss: Loss | null;
  readonly lastLoss: LastLoss | null;
  /** Volume -> name of the host of its bytes, of the run's volumes. */
  readonly storage: Readonly<Record<string, string>>;
  /** Volumes of the run whose storage host is silent: actor ids. */
  readonly away?: readonly string[];
}

export const noLoss: LossContext = { loss: null, lastLoss: null, storage: {} };

export const hostPresent = 'HostPresent';

/** Of a VM that was told before that its host is lost; another one has no such condition. @param at wall time, ms */
export function presentAgain(conditions: readonly Condition[], at: number): readonly Condition[] {
  const isKnown = conditions.some(({ type }) => type === hostPresent);
  return isKnown ? withCondition(conditions, { type: hostPresent, status: 'True', reason: 'Present' }, at) : conditions;
}

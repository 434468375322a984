/** The rows that a kind needs which counts the objects that refer to it (machines/values/references.ts). */
import { holderRows } from '@photoncloud/machines/values/references';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';

/** @param whole events that need all holders */
export const holderNeeds =
  (whole: readonly string[]) =>
  ({ type, by }: ActorEvent): readonly RowKey[] => {
    if (whole.includes(type)) return [{ collection: holderRows, key: '*' }];
    const isOfOne = type === 'reference.add' || type === 'reference.drop';
    return isOfOne ? [{ collection: holderRows, key: String(by) }] : [];
  };

/**
 * What a VM says of shared volumes whose storage host is silent. Nothing of its run changes: a guest that reads or
 * writes such a volume stands still, and goes on in the same run. Pure functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import { act } from '../values/telling.ts';
import { volumeIds, type At, type VmContext } from './vm-context.ts';

type Away = Pick<VmContext, 'away' | 'conditions'>;

const type = 'StoragePresent';

function said(away: readonly string[]): ConditionParams {
  if (away.length === 0) return { type, status: 'True', reason: 'Present' };
  const message =
    `the storage host of ${away.join(', ')} is silent: a guest that reads or writes there stands still without an ` +
    'error, a start waits, and both go on by themselves once an operator has brought that host back';
  return { type, status: 'False', reason: 'StorageHostSilent', message };
}

/** A VM that was never told has no such condition. */
function withAway(context: Away, away: readonly string[], at: number): Away {
  const isKnown = away.length > 0 || context.conditions.some((one) => one.type === type);
  return { away, conditions: isKnown ? withCondition(context.conditions, said(away), at) : context.conditions };
}

/** Volumes that it does not use any more; those of a run that begins tell again. */
export const withoutAway = (context: Away, volumes: readonly string[], at: number): Away =>
  withAway(context, context.away?.filter((one) => !volumes.includes(one)) ?? [], at);
export const withNoneAway = (context: Away, at: number): Away => withAway(context, [], at);

const uses = (context: VmContext, volume: string): boolean =>
  volume in context.plugs || volumeIds(context, context.runSpec).includes(volume);

export function noteAway({ context, event }: At): Partial<VmContext> {
  assertEvent(event, 'volume.away');
  const { volume, meta } = event;
  if (!uses(context, volume)) return {};
  return withAway(context, [...new Set([...(context.away ?? []), volume])].toSorted(), meta.at);
}

export function noteStorageBack({ context, event }: At): Partial<VmContext> {
  assertEvent(event, 'volume.back');
  return withoutAway(context, [event.volume], event.meta.at);
}

/** By the names of the chart. */
export const storageActions = {
  noteAway: act((seen: At) => ({ changes: noteAway(seen), asks: [] })),
  noteStorageBack: act((seen: At) => ({ changes: noteStorageBack(seen), asks: [] })),
};

/** In every state. */
export const storageHeard = {
  'volume.away': { actions: 'noteAway' },
  'volume.back': { actions: 'noteStorageBack' },
} as const;

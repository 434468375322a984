/**
 * The storage host of a shared volume is silent, or back. The volume says so, and tells its holder, whose guest stands
 * still once it reads or writes. Of a local volume its VM says it. Pure functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import { act, send, tell, type Acted, type Asked } from '../values/telling.ts';
import { clientsOf, isShared, serveTo, type At, type VolumeContext } from './volume-context.ts';
import { volumeAway, volumeBack } from './volume-protocol.ts';

const type = 'HostPresent';
const silent: ConditionParams = {
  type,
  status: 'False',
  reason: 'HostSilent',
  message:
    'its storage host is silent: a guest of another host that reads or writes it stands still without an error, and ' +
    'goes on by itself once an operator has brought that host back, with all that it was told is written',
};

const isItsHost = ({ context, event }: At): boolean =>
  (event.type === 'volume.host-lost' || event.type === 'volume.host-found') &&
  isShared(context) &&
  context.host?.name === event.host;

const toHolder = ({ holder }: VolumeContext, event: Parameters<typeof send>[1]): readonly Asked[] =>
  holder === null ? [] : [send(holder, event)];

/** To a VM that begins to use it. */
const tellAway = ({ context }: At): readonly Asked[] =>
  context.away === true ? toHolder(context, volumeAway({ volume: context.id })) : [];

function noteAway({ context, event }: At): Acted<VolumeContext> {
  assertEvent(event, 'volume.host-lost');
  return {
    changes: { away: true, conditions: withCondition(context.conditions, silent, event.meta.at) },
    asks: toHolder(context, volumeAway({ volume: context.id })),
  };
}

function noteBack({ context, event }: At): Acted<VolumeContext> {
  assertEvent(event, 'volume.host-found');
  const present = { type, status: 'True', reason: 'Present' } as const;
  return {
    changes: { away: false, conditions: withCondition(context.conditions, present, event.meta.at) },
    asks: toHolder(context, volumeBack({ volume: context.id })),
  };
}

/** A host that was fenced has removed what it served. */
const askExportAgain = ({ context }: At): readonly Asked[] => [serveTo(context, clientsOf(context))];

/** By the names of the chart. */
export const awayActions = {
  tellAway: tell(tellAway),
  noteAway: act(noteAway),
  noteBack: act(noteBack),
  askExportAgain: tell(askExportAgain),
};
export const awayGuards = { isItsHost };

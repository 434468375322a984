/**
 * A VM that is to leave its host because that is drained: it is moved while it runs, or says why it stays. One that
 * cannot be moved, and needs nothing of the host, is started again on another one when the operator has said so. Pure
 * functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { act, type Acted } from '../values/telling.ts';
import { migrateLimits } from '../values/migration-limits.ts';
import type { At, VmContext, VmMigration } from './vm-context.ts';
import { evacuation, hindrances, type Reason } from './vm-migration.ts';

type Done = Acted<VmContext>;

const isHere = ({ context, event }: At): boolean =>
  event.type === 'vm.evacuate' && context.host?.name === event.host && context.leaving !== event.host;

/** The guest runs, and can be sent. */
const mayEvacuate = (seen: At): boolean => isHere(seen) && hindrances(seen.context).length === 0;

/** It cannot be sent, and all it needs is to be had on other hosts. */
const mayRestartElsewhere = (seen: At): boolean => {
  const { context, event } = seen;
  if (event.type !== 'vm.evacuate' || !event.restart || !isHere(seen)) return false;
  const { migration, wanted, located, runSpec } = context;
  return migration === null && wanted === 'running' && located.length === 0 && (runSpec?.host ?? null) === null;
};

/** Why it stays, with the next step; null while it is stopped here to be started elsewhere. */
function reasonOf(context: VmContext): Reason | null {
  const { id, leaving, failure } = context;
  if (leaving !== null) return failure === null ? null : { code: failure.code, message: failure.message };
  const [first] = hindrances(context);
  if (first !== undefined) return { code: first.code, message: first.message };
  return { code: 'not_running', message: `${id} does not run yet, or ends; it is asked again` };
}

/** As a drain wants it: to any host, within the limits of a move that nobody has said more about. */
function takeEvacuation({ event }: At): Done {
  assertEvent(event, 'vm.evacuate');
  const drain = event.meta.from ?? '';
  const migration: VmMigration = {
    to: null,
    limits: migrateLimits.parse({}),
    host: null,
    commandId: null,
    committed: false,
    ended: false,
    drain,
  };
  return { changes: { migration }, asks: [] };
}

function answerEvacuation({ context, event }: At): Done {
  assertEvent(event, 'vm.evacuate');
  const { host, meta } = event;
  const drain = meta.from ?? '';
  const { migration } = context;
  const isOnItsWay = migration !== null && context.host?.name === host;
  return {
    changes: isOnItsWay ? { migration: { ...migration, drain } } : {},
    asks: [evacuation(context, drain, host, reasonOf(context))],
  };
}

/** The run ends, and the next one begins on another host. */
const wantElsewhere = ({ context }: At): Done => ({
  changes: { leaving: context.host?.name ?? null, restarting: true, graceMs: 10_000 },
  asks: [],
});

/** By the names of the chart. */
export const leavingActions = {
  takeEvacuation: act(takeEvacuation),
  answerEvacuation: act(answerEvacuation),
  wantElsewhere: act(wantElsewhere),
};
export const leavingGuards = { mayEvacuate, mayRestartElsewhere };

const stays = { actions: 'answerEvacuation' } as const;
const startsElsewhere = {
  guard: 'mayRestartElsewhere',
  target: 'stopping',
  actions: ['wantElsewhere', 'answerEvacuation'],
} as const;

/** In every state. */
export const evacuated = { 'vm.evacuate': stays } as const;
/** While its guest stands still. */
export const evacuatedStill = { 'vm.evacuate': [startsElsewhere, stays] } as const;
/** While its guest runs. */
export const evacuatedLive = {
  'vm.evacuate': [
    { guard: 'mayEvacuate', target: 'migrating', actions: ['takeEvacuation', 'answerEvacuation'] },
    startsElsewhere,
    stays,
  ],
} as const;

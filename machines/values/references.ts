/**
 * Objects that others refer to by name: the messages between the two, and what a chart does with them. The object that
 * is referred to counts its holders as rows, so that its deletion is refused while it has any.
 */
import { z } from 'zod';
import { assertEvent, type EventObject, type MachineContext } from 'xstate';
import { sameJson } from './failures.ts';
import { message, type EventOf } from './kind.ts';
import { putRow, reject, removeRow, row, rows, send, tell, type Acted, type Asked, type Heard } from './telling.ts';

export const referenceAdd = message('reference.add', 'An object refers to this one; repeated, it changes nothing.', {
  /** Actor id of the object that refers. */
  by: z.string(),
  /** The VPC on whose hosts the holder needs it; null when it is needed on none for this holder. */
  vpc: z.string().nullable(),
});
export const referenceDrop = message('reference.drop', 'The object refers to this one no longer.', {
  by: z.string(),
});
export const referenceMissing = message('reference.missing', 'The object that was referred to does not exist.', {
  /** Actor id of what is missing. */
  missing: z.string(),
});
export const referenceConfirm = message(
  'reference.confirm',
  'An object that is to be deleted asks a holder; one that does not refer to it any more answers with reference.drop.',
  {
    /** Actor id of the object that asks. */
    of: z.string(),
  },
);

/** Row `holder/<actor id>`. */
export interface Holder {
  readonly vpc: string | null;
}
export const holderRows = 'holder';

/** Context of an object that others refer to. */
export interface Held {
  readonly id: string;
  readonly holders: number;
}

type ReferenceEvent = EventOf<{
  kind: string;
  takes: readonly [typeof referenceAdd, typeof referenceDrop, typeof referenceConfirm];
  effects: readonly [];
}>;

interface At {
  readonly context: Held;
  readonly event: Heard;
}

interface Named {
  readonly context: { readonly id: string };
  readonly event: Heard;
}

const asReference = (event: Heard): ReferenceEvent => event as ReferenceEvent;

// The object that is referred to

export const isHeld = ({ context }: { readonly context: Held }): boolean => context.holders > 0;

/** Transitions in every state in which the object exists; what `countHolder` does beside `holdersAfter` is its own. */
export const whileHeld = {
  'reference.add': { actions: 'countHolder' },
  'reference.drop': { actions: 'countHolder' },
} as const;

/** Actions of the object's chart, by the names that charts use. */
export const heldActions = <C extends MachineContext & Held, E extends EventObject & Heard>() => ({
  rejectInUse: tell<C, E>(rejectInUse),
  confirmHolders: tell<C, E>(confirmHolders),
  answerMissing: tell<C, E>(answerMissing),
});

/** How a reference changes the holders: the row of this one before and after, and the number of all. */
export function holdersAfter({ context, event }: At): {
  readonly before: Holder | undefined;
  readonly after: Holder | undefined;
  readonly acted: Acted<Held>;
} {
  const asked = asReference(event);
  assertEvent(asked, ['reference.add', 'reference.drop']);
  const { by } = asked;
  const before = row<Holder>(event, holderRows, by);
  const after = asked.type === 'reference.add' ? { vpc: asked.vpc } : undefined;
  if (sameJson(before ?? null, after ?? null)) return { before, after, acted: { changes: {}, asks: [] } };
  const holders = context.holders + (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
  const asks = [after === undefined ? removeRow(holderRows, by) : putRow(holderRows, by, after)];
  return { before, after, acted: { changes: { holders }, asks } };
}

const shownHolders = 5;

function rejectInUse({ context, event }: At): readonly Asked[] {
  const holders = Object.keys(rows<Holder>(event, holderRows));
  const more = holders.length > shownHolders ? ` and ${holders.length - shownHolders} more` : '';
  const used = `${context.id} is in use by ${holders.slice(0, shownHolders).join(', ')}${more}; change those first`;
  return [reject({ code: 'in_use', message: `${used}. If they are gone, delete it again in a few seconds` })];
}

const confirmedAtOnce = 20;

/** A holder that does not exist any more, as after a rollback of the store, gives its reference up. */
const confirmHolders = ({ context, event }: At): readonly Asked[] =>
  Object.keys(rows<Holder>(event, holderRows))
    .slice(0, confirmedAtOnce)
    .map((holder) => send(holder, referenceConfirm({ of: context.id })));

/** Removes all holders and tells them that the object does not exist. */
export const forgetHolders = ({ context, event }: At): readonly Asked[] =>
  Object.keys(rows<Holder>(event, holderRows)).flatMap((holder) => [
    removeRow(holderRows, holder),
    send(holder, referenceMissing({ missing: context.id })),
  ]);

/** The object does not exist. */
function answerMissing({ context, event }: Named): readonly Asked[] {
  const asked = asReference(event);
  assertEvent(asked, 'reference.add');
  return [send(asked.by, referenceMissing({ missing: context.id }))];
}

// The object that refers to others

/** It does not exist, or does not refer to the object that asks. */
export function disownReference({ context, event }: Named): readonly Asked[] {
  const asked = asReference(event);
  assertEvent(asked, 'reference.confirm');
  return [send(asked.of, referenceDrop({ by: context.id }))];
}

/** Refers to those that are new, and no longer to those that are not wanted any more. */
export const referring = (
  by: string,
  vpc: string | null,
  before: readonly string[],
  after: readonly string[],
): readonly Asked[] => [
  ...after.filter((to) => !before.includes(to)).map((to) => send(to, referenceAdd({ by, vpc }))),
  ...before.filter((to) => !after.includes(to)).map((to) => send(to, referenceDrop({ by }))),
];

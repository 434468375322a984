/**
 * An address set: claims its quota, is published to its VPC, and is removed from all hosts before it ends. The VPC
 * reports which generation every host has proven. Upholds: the name is free only after no host has the set.
 */
import { setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving, type DeclaredContext } from '../values/declared.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import * as references from '../values/references.ts';
import { requests } from '../values/requests.ts';
import { act, send, tell, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { elementPut, elementRemove } from '../vpc/vpc-protocol.ts';
import { addressSetKind, problemsOf, type AddressSetEvent, type AddressSetSpec } from './address-set-protocol.ts';

export interface AddressSetContext extends DeclaredContext<AddressSetSpec>, references.Held {}
type At = Seen<AddressSetContext, AddressSetEvent>;

const section = 'address-sets';

const kit = declaredKit<AddressSetSpec, AddressSetContext, AddressSetEvent>(addressSetKind, { problems: problemsOf });

const vpcOf = ({ id, spec }: AddressSetContext): string => idOf('vpc', partsOfId(id).tenant, spec?.vpc ?? 'main');

const publish = ({ context }: At): readonly Asked[] => {
  const { id, generation, spec } = context;
  return [send(vpcOf(context), elementPut({ section, key: id, generation, element: { cidrs: spec?.cidrs ?? [] } }))];
};

const withdraw = ({ context }: At): readonly Asked[] => [
  send(vpcOf(context), elementRemove({ section, key: context.id })),
];

const countHolder = (seen: At): Acted<AddressSetContext> => references.holdersAfter(seen).acted;

/** The set ends although rules name it. */
const endHolders = (seen: At): Acted<AddressSetContext> => ({
  changes: { holders: 0 },
  asks: references.forgetHolders(seen),
});

export const addressSetMachine = setup({
  types: {
    context: {} as AddressSetContext,
    events: {} as AddressSetEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    ...references.heldActions<AddressSetContext, AddressSetEvent>(),
    publish: tell(publish),
    withdraw: tell(withdraw),
    countHolder: act(countHolder),
    endHolders: act(endHolders),
  },
  guards: {
    ...kit.guards,
    isHeld: references.isHeld,
    isNewest: ({ context, event }) => 'generation' in event && event.generation === context.generation,
  },
  delays: { quotaDeadline: 5_000, withdrawDeadline: 30_000 },
}).createMachine({
  id: 'address-set',
  context: ({ input }) => ({ ...newDeclared(input.id), holders: 0 }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('address-set', 'claiming'),
        'reference.add': { target: 'gone', actions: 'answerMissing' },
        'reference.drop': { target: 'gone' },
      },
    },
    claiming: {
      description: 'The quota for one more address set is requested from the tenant.',
      entry: [ready('False', 'Claiming'), 'claimQuota'],
      on: {
        ...whileDeclaring('address-set', { actions: ['takeSpec', 'awaitAnswer'] }),
        ...references.whileHeld,
        'address-set.delete': {
          target: 'gone',
          actions: ['rejectDeleted', 'awaitAnswer', 'endHolders', 'releaseQuota'],
        },
        'quota.granted': { target: 'ready', actions: ['publish', 'answerAll'] },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure', 'endHolders'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    ready: {
      description: 'The VPC publishes the set to every host of it; the condition Realized tells whether all have it.',
      tags: 'steady',
      entry: ready('True', 'Published'),
      on: {
        ...whileLiving('address-set', { actions: ['takeSpec', 'publish', 'answerUpdated'] }),
        ...references.whileHeld,
        ...deletedBy(
          'address-set',
          { guard: 'isHeld', actions: ['rejectInUse', 'confirmHolders'] },
          { target: 'withdrawing', actions: 'awaitAnswer' },
        ),
        'quota.granted': {},
        'element.realized': {
          guard: 'isNewest',
          actions: [
            'observe',
            'forgetFailure',
            { type: 'setCondition', params: { type: 'Realized', status: 'True', reason: 'Proven' } },
          ],
        },
        'element.delayed': {
          guard: 'isNewest',
          actions: [
            'noteFailure',
            { type: 'setCondition', params: { type: 'Realized', status: 'False', reason: 'HostDelayed' } },
          ],
        },
      },
    },
    withdrawing: {
      description: 'The VPC removes the set from every host that has it.',
      entry: [ready('False', 'Deleting'), 'withdraw'],
      on: {
        ...whileDeleting('address-set'),
        'reference.add': { actions: 'answerMissing' },
        'reference.drop': {},
        'element.realized': {},
        'element.delayed': {},
        'element.removed': { target: 'gone', actions: 'releaseQuota' },
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'No host has the set, or it was never created; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});

/**
 * A security group: claims its quota, counts the ports and groups that name it, and is published to every VPC with a
 * port that has it. VPCs report which generation all their hosts have proven. Upholds: a group ends only when nothing
 * names it; the group `default` ends with its tenant.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileLiving } from '../values/declared.ts';
import * as references from '../values/references.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './security-group-messages.ts';
import type { SecurityGroupContext } from './security-group-messages.ts';
import { securityGroupKind, type SecurityGroupEvent, type SecurityGroupSpec } from './security-group-protocol.ts';

const kit = declaredKit<SecurityGroupSpec, SecurityGroupContext, SecurityGroupEvent>(securityGroupKind, {
  problems: messages.problemsOf,
});

const serving = {
  ...whileLiving('security-group', {
    target: 'ready',
    actions: ['referAnew', 'takeSpec', 'forgetFailure', 'publish', 'answerUpdated'],
  }),
  ...references.whileHeld,
  ...deletedBy(
    'security-group',
    { guard: 'isDefault', actions: 'rejectDefault' },
    { guard: 'isHeld', actions: ['rejectInUse', 'confirmHolders'] },
    { target: 'gone', actions: ['awaitAnswer', 'dropAll', 'releaseQuota'] },
  ),
  'group.open': { actions: 'tellOpened' },
  'group.close': { target: 'gone', actions: ['dropAll', 'endHolders'] },
  'quota.granted': {},
  'reference.missing': { target: 'incomplete', actions: 'noteMissing' },
  'reference.confirm': [{ guard: 'namesAsker' }, { actions: 'disownReference' }],
  'element.realized': { guard: 'isNewest', actions: 'noteRealized' },
  'element.delayed': {
    guard: 'isNewest',
    actions: [
      'noteFailure',
      { type: 'setCondition', params: { type: 'Realized', status: 'False', reason: 'HostDelayed' } },
    ],
  },
  'element.removed': {},
} as const;

export const securityGroupMachine = setup({
  types: {
    context: {} as SecurityGroupContext,
    events: {} as SecurityGroupEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    ...references.heldActions<SecurityGroupContext, SecurityGroupEvent>(),
    openSpec: assign(messages.openSpec),
    tellOpened: tell(messages.tellOpened),
    rejectDefault: tell(messages.rejectDefault),
    disownReference: tell<SecurityGroupContext, SecurityGroupEvent>(references.disownReference),
    countHolder: act(messages.countHolder),
    endHolders: act(messages.endHolders),
    publish: act(messages.publish),
    noteRealized: assign(messages.noteRealized),
    referToAll: tell(messages.referToAll),
    referAnew: act(messages.referAnew),
    referAgain: act(messages.referAgain),
    dropAll: tell(messages.dropAll),
    noteMissing: assign(messages.noteMissing),
  },
  guards: {
    ...kit.guards,
    isDefault: messages.isDefault,
    isHeld: references.isHeld,
    isNewest: messages.isNewest,
    namesAsker: messages.namesAsker,
  },
  delays: { quotaDeadline: 5_000, referenceReview: 300_000 },
}).createMachine({
  id: 'security-group',
  context: ({ input }) => ({ ...newDeclared(input.id), holders: 0, vpcs: {} }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('security-group', 'claiming'),
        'group.open': { target: 'ready', actions: ['openSpec', 'tellOpened'] },
        'group.close': { target: 'gone' },
        'reference.add': { target: 'gone', actions: 'answerMissing' },
        'reference.drop': { target: 'gone' },
        'reference.confirm': { target: 'gone', actions: 'disownReference' },
      },
    },
    claiming: {
      description: 'The quota for one more security group is requested from the tenant.',
      entry: [ready('False', 'Claiming'), 'claimQuota'],
      on: {
        ...whileDeclaring('security-group', { actions: ['takeSpec', 'awaitAnswer'] }),
        ...references.whileHeld,
        'security-group.delete': {
          target: 'gone',
          actions: ['rejectDeleted', 'awaitAnswer', 'endHolders', 'releaseQuota'],
        },
        'quota.granted': { target: 'ready', actions: ['referToAll', 'publish', 'answerAll'] },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure', 'endHolders'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    ready: {
      description: 'Ports can have the group. Every host with one has its rules; the condition Realized tells whether.',
      tags: 'steady',
      entry: ready('True', 'Ready'),
      on: serving,
    },
    incomplete: {
      description:
        'As ready, but a rule names what does not exist; the condition References says what. It is looked for again.',
      tags: 'steady',
      entry: ready('True', 'Incomplete'),
      on: serving,
      after: { referenceReview: { target: 'ready', actions: 'referAgain' } },
    },
    gone: {
      description: 'The group has ended, or was never created; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});

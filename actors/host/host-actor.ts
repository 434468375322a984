/** The kind `host`: a worker host as the control plane sees it; announced by its agent, watched by membership. */
import { hostMachine, type HostContext } from '@photoncloud/machines/host/host-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { hostCommands } from './host-commands.ts';
import { hostEffects, type HostDoings } from './host-effects.ts';

/** Version 2 can be buried. */
const upgraded = ({ state, context }: { state: unknown; context: unknown }) => ({
  state,
  context: { ...(context as object), order: null, grave: null, tries: 0 },
});

export const hostDefinition = (doings: HostDoings): ActorDefinition => ({
  kind: 'host',
  chartVersion: 2,
  upgrades: { 1: upgraded },
  machine: hostMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: hostCommands,
  createdBy: ['host.announce'],
  effects: hostEffects(doings),
  view: ({ name, cordoned, boot, report, index, silent, announcedAt, grave, failure }: HostContext) => ({
    spec: { name, cordoned },
    status: { index, silent, boot, announcedAt, report, grave, failure },
  }),
  ignored: ['host.registered', 'host.refused', 'host.silent', 'host.back', 'host.announce'],
});

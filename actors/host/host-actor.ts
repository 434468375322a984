/** The kind `host`: a worker host as the control plane sees it; announced by its agent, watched by membership. */
import { hostMachine, type HostContext } from '@photoncloud/machines/host/host-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { hostCommands } from './host-commands.ts';
import { hostEffects, type HostPerformer } from './host-effects.ts';

export const hostDefinition = (performer: HostPerformer): ActorDefinition => ({
  kind: 'host',
  chartVersion: 1,
  machine: hostMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: hostCommands,
  createdBy: ['host.announce'],
  effects: hostEffects(performer),
  view: ({ name, cordoned, boot, report, index, silent, announcedAt, fencingRecord, failure }: HostContext) => ({
    spec: { name, cordoned },
    status: { index, silent, boot, announcedAt, report, fencingRecord, failure },
  }),
  ignored: ['host.registered', 'host.refused', 'host.silent', 'host.back', 'host.announce'],
});

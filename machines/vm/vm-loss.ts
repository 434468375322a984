/** What a VM says while its host is silent: what runs there is unknown, so the VM waits. Pure functions. */
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import type { At, VmContext } from './vm-context.ts';

const type = 'HostPresent';

/** Of a VM that was told before that its host is lost; another one has no such condition. */
function present(context: VmContext, at: number): Partial<VmContext> {
  const { conditions } = context;
  const isKnown = conditions.some((one) => one.type === type);
  if (!isKnown) return {};
  return { conditions: withCondition(conditions, { type, status: 'True', reason: 'Present' }, at) };
}

const lost = (): ConditionParams => ({
  type,
  status: 'False',
  reason: 'HostSilent',
  message:
    'its host is silent, and whether its guest runs is unknown: it waits until the host is back, or an operator has ' +
    'fenced it (photon host fence) because it is powered off',
});

/** The message is of the host that it is on. */
export const isItsHost = ({ context, event }: At): boolean =>
  (event.type === 'vm.host-lost' || event.type === 'vm.host-found') && context.host?.name === event.host;

export const noteHostLost = ({ context, event }: At): Partial<VmContext> => ({
  conditions: withCondition(context.conditions, lost(), event.meta.at),
});

export const noteHostFound = ({ context, event }: At): Partial<VmContext> => present(context, event.meta.at);

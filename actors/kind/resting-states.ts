/** When a declared object has come to rest: in a resting state of its kind, with its newest declaration realized. */
import { partsOfId } from '@photoncloud/machines/values/identifiers';

const restingStates: Readonly<Record<string, RegExp>> = {
  tenant: /^active$/,
  vm: /^(running|paused|stopped)$/,
  port: /^(unbound|active)$/,
  'service-ip': /^allocated\.(active|noBackends|degraded)$/,
  'external-address': /^(attached|detached)$/,
  volume: /^(available|held\.attached)$/,
  deployment: /^(ready|watching)$/,
  rollout: /^completed$/,
};

export const restingStatesOf = (id: string): RegExp => restingStates[partsOfId(id).kind] ?? /^ready$/;

/** States in which an object stays until somebody acts. */
export const failedStates = /^(failed|rejected|aborted|held\.stuck)/;

interface DeclaredStatus {
  readonly generation?: number;
  readonly observedGeneration?: number;
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
}

/** Conditions that say why the newest declaration is not realized, although the object is in a resting state. */
const ofRealization = ['DisksAttached', 'NicsAttached', 'Realized'];

/** What the newest declaration waits for; undefined: no condition says it. */
export function waitsFor(status: unknown): string | undefined {
  const { conditions = [] } = (status ?? {}) as DeclaredStatus;
  return conditions.find(({ type, status: is }) => ofRealization.includes(type) && is !== 'True')?.message;
}

/** True when the newest declaration is realized, or needs only a restart, which is a separate command. */
export function isRealized(status: unknown): boolean {
  const { generation = 0, observedGeneration = 0, conditions = [] } = (status ?? {}) as DeclaredStatus;
  if (observedGeneration >= generation) return true;
  return conditions.some(({ type, status: is }) => type === 'RestartRequired' && is === 'True');
}

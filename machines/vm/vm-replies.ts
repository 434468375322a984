/** What a VM answers to commands: results and rejections, as params of `reply` and `reject`. */
import { assertEvent } from 'xstate';
import { differences } from '../values/failures.ts';
import type { VmContext } from './vm-context.ts';
import type { VmEvent, VmSpec } from './vm-events.ts';

interface Seen {
  readonly context: VmContext;
  readonly event: VmEvent;
}

/** A create event cut down to the spec. */
export function specOf(event: VmEvent): VmSpec {
  assertEvent(event, 'vm.create');
  const { cpus, memoryMib, machineType, restart, running, host, nics, disks, boot } = event;
  return { cpus, memoryMib, machineType, restart, running, host, nics, disks, boot };
}

const standing = (context: VmContext) => ({ uid: context.uid, ports: context.ports });

export const same = ({ context }: Seen) => ({ result: standing(context) });
export const created = ({ context }: Seen) => ({ commandId: context.createCommand ?? '', result: standing(context) });
export const deleted = ({ context }: Seen) => ({
  commandId: context.deleteCommand ?? '',
  result: { uid: context.uid },
});

export const differs = ({ context, event }: Seen) => ({
  code: 'exists_differently',
  message: `${context.id} exists with another spec; delete it first, or give the new one another name`,
  issues: differences(context.spec ?? {}, specOf(event)).map((issue) => ({ ...issue, path: `spec.${issue.path}` })),
});

export const nameBusy = ({ context }: Seen) => ({
  code: 'name_busy',
  message: `${context.id} is being made or deleted; try again shortly`,
});

export const deleting = ({ context }: Seen) => ({ code: 'being_deleted', message: `${context.id} is being deleted` });

export function refused({ context, event }: Seen): {
  commandId: string;
  code: string;
  message: string;
  issues?: { path: string; message: string }[];
} {
  const commandId = context.createCommand ?? '';
  if (event.type === 'quota.refused') return { commandId, code: event.error.code, message: event.error.message };
  const { error, path } = context.refusal ?? {
    error: { code: 'refused', message: `${context.id} was refused` },
    path: 'spec',
  };
  return { commandId, code: error.code, message: error.message, issues: [{ path, message: error.message }] };
}

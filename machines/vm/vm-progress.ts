/**
 * How far a VM is with its declaration: what waits for its next start, which disks and NICs come and go, and the
 * conditions that say so. Pure functions of its context.
 */
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import type { SpecChange } from '../values/kind.ts';
import { specChanges } from '../values/spec-changes.ts';
import { portIds, volumeId, type VmContext, type VmPlug } from './vm-context.ts';
import {
  bootDisk,
  deviceFields,
  deviceSlots,
  fieldOf,
  runDevices,
  takesDevices,
  wantedDevices,
  without,
  type DeviceField,
} from './vm-devices.ts';
import { vmKind, type VmSpec } from './vm-protocol.ts';

/** True when every NIC has its address and the ports of removed NICs have ended. */
function hasDeclaredPorts(context: VmContext): boolean {
  const declared = portIds(context, context.spec);
  return declared.every((id) => id in context.ports) && context.claimed.every((id) => declared.includes(id));
}

/** Of a disk or NIC that comes or goes. */
const isDevice = ({ path, of }: SpecChange): boolean =>
  (of === 'addition' || of === 'removal') && deviceFields.some((field) => path.startsWith(`${field}.`));

/** Fields of the newest spec that the present run does not get any more. */
function waitingFields(context: VmContext): readonly string[] {
  const { spec, runSpec } = context;
  if (spec === null || runSpec === null) return [];
  const waits = (change: SpecChange): boolean =>
    change.change !== 'in place' ||
    (isDevice(change) && !takesDevices(context, change.path.startsWith('disks.') ? 'disks' : 'nics'));
  const fields = specChanges(vmKind.declared, runSpec, spec)
    .filter(waits)
    .map(({ path }) => path);
  const boot = bootDisk(context);
  const [first] = spec.disks;
  const bootsOtherwise = boot !== null && (first === undefined || boot !== volumeId(context, first.volume));
  return bootsOtherwise ? [...new Set([...fields, 'disks.0'])] : fields;
}

function restartRequired(fields: readonly string[]): ConditionParams {
  const type = 'RestartRequired';
  if (fields.length === 0) return { type, status: 'False', reason: 'UpToDate' };
  const message = `changed and waiting for the next start: ${fields.join(', ')}; a restart of the VM applies it`;
  return { type, status: 'True', reason: 'ChangesWait', message };
}

const plugSays: Readonly<Record<VmPlug['phase'], string>> = {
  locating: 'is to be attached',
  placing: 'waits for room on the host',
  attaching: 'is being attached',
  binding: 'is to be bound on the host',
  plugging: 'is being plugged',
  removing:
    'is to be detached and stays in use until the guest releases it, at the latest when it is reset or starts again',
};

const naming = (id: string, message: string): string => (message.startsWith(`${id} `) ? message : `${id}: ${message}`);

/** The volumes, or ports, that come to the present run or go from it, each with what it waits for. */
export function devicesUnderway(context: VmContext, field: DeviceField): readonly string[] {
  const { plugs, spec, runSpec } = context;
  if (spec === null || runSpec === null || !takesDevices(context, field)) return [];
  const [wanted, had] = [wantedDevices(context, field), runDevices(context, field)];
  const isFull = had.length >= deviceSlots[field];
  const first = plugSays[field === 'disks' ? 'locating' : 'binding'];
  return [
    ...Object.entries(plugs)
      .filter(([id]) => fieldOf(id) === field)
      .map(([id, { phase, error }]) => (error === null ? `${id} ${plugSays[phase]}` : naming(id, error.message))),
    ...without(wanted, had).map((id) =>
      isFull ? `${id} waits for one of ${deviceSlots[field]} slots` : `${id} ${first}`,
    ),
    ...without(had, wanted).flatMap((id) => (id in plugs ? [] : [`${id} is to be detached`])),
  ];
}

const attachedTypes: Readonly<Record<DeviceField, string>> = { disks: 'DisksAttached', nics: 'NicsAttached' };

/** The condition of these devices, on a VM that has needed it before. */
function withAttached(
  conditions: VmContext['conditions'],
  { plugs }: VmContext,
  field: DeviceField,
  underway: readonly string[],
  at: number,
) {
  const type = attachedTypes[field];
  const phases = Object.entries(plugs).flatMap(([id, plug]) => (fieldOf(id) === field ? [plug] : []));
  const reason = phases.some(({ error }) => error !== null)
    ? 'Refused'
    : phases.some(({ phase }) => phase === 'removing')
      ? 'Detaching'
      : 'Attaching';
  if (underway.length > 0)
    return withCondition(conditions, { type, status: 'False', reason, message: underway.join('; ') }, at);
  const isKnown = conditions.some((condition) => condition.type === type);
  return isKnown ? withCondition(conditions, { type, status: 'True', reason: 'AsDeclared' }, at) : conditions;
}

/** Whether the declaration demands that it runs; with `restart: manual` only commands do. */
export const declaresRun = ({ running, restart }: VmSpec): boolean => running && restart !== 'manual';

/** The condition of a stopped VM: it is Ready unless it was stopped against its declaration. */
export const restCondition = (spec: VmSpec) =>
  declaresRun(spec)
    ? ({ status: 'False', reason: 'Stopped', message: 'stopped by a command or by its guest; send vm.start' } as const)
    : ({ status: 'True', reason: 'Stopped' } as const);

/**
 * The realized generation and the conditions RestartRequired, DisksAttached and NicsAttached. A run without missing
 * changes counts as one of the newest generation. @param at wall time, ms since the epoch
 */
export function progressOf(context: VmContext, at: number) {
  const { runSpec, generation } = context;
  const waiting = waitingFields(context);
  const underway = deviceFields.map((field) => [field, devicesUnderway(context, field)] as const);
  const isNewest = runSpec !== null && waiting.length === 0 && underway.every(([, { length }]) => length === 0);
  const runGeneration = isNewest ? generation : context.runGeneration;
  const isRealized = runSpec === null && context.wanted === 'stopped' && hasDeclaredPorts(context);
  const ofRun = context.runningSince === null ? context.observedGeneration : runGeneration;
  const attached = underway.reduce(
    (conditions, [field, says]) => withAttached(conditions, context, field, says, at),
    context.conditions,
  );
  return {
    runGeneration,
    observedGeneration: isRealized ? generation : ofRun,
    conditions: withCondition(attached, restartRequired(waiting), at),
  };
}

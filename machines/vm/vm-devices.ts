/**
 * Disks and NICs of a VM in what they have in common: they come to a run and go from it while its guest runs, and each
 * has a slot in it. They are named by the actor ids of their volumes and ports. Pure functions of the context; what is
 * asked of whom is in vm-plugs.ts.
 */
import { partsOfId } from '../values/identifiers.ts';
import type { IncarnationDisk, IncarnationNic, IncarnationProof } from '../values/wiring.ts';
import { portId, portIds, volumeId, volumeIds, type VmContext } from './vm-context.ts';
import type { VmSpec } from './vm-protocol.ts';

/** The fields of a spec that list them. */
export const deviceFields = ['disks', 'nics'] as const;
export type DeviceField = (typeof deviceFields)[number];

/** So many a VM may have, and so many ports for them each run has. */
export const deviceSlots: Readonly<Record<DeviceField, number>> = { disks: 8, nics: 8 };

export const fieldOf = (id: string): DeviceField => (partsOfId(id).kind === 'volume' ? 'disks' : 'nics');

export const without = (ids: readonly string[], others: readonly string[]): readonly string[] =>
  ids.filter((id) => !others.includes(id));

const idsIn = (context: VmContext, field: DeviceField, spec: VmSpec | null): readonly string[] =>
  (field === 'disks' ? volumeIds : portIds)(context, spec);

/** Those of the present run, also such as come to it and go from it. */
export const runDevices = (context: VmContext, field: DeviceField): readonly string[] =>
  idsIn(context, field, context.runSpec);

/** What the present run boots from, which stays as long as it lasts. */
export const bootDisk = (context: VmContext): string | null => {
  const { runSpec } = context;
  return runSpec === null || runSpec.boot !== null ? null : (volumeIds(context, runSpec)[0] ?? null);
};

/** What the present run is to have: what is declared, and the disk that it has booted from. */
export function wantedDevices(context: VmContext, field: DeviceField): readonly string[] {
  if (context.spec === null || context.runSpec === null) return [];
  const declared = idsIn(context, field, context.spec);
  const boot = field === 'disks' ? bootDisk(context) : null;
  return boot === null ? declared : [boot, ...without(declared, [boot])];
}

const portsIn = ({ diskSlots, nicSlots }: IncarnationProof, field: DeviceField): number | undefined =>
  field === 'disks' ? diskSlots : nicSlots;

/** Whether they come and go in the present run: one that an older release has begun has no ports for them. */
export const takesDevices = ({ proof }: VmContext, field: DeviceField): boolean =>
  proof === null || portsIn(proof, field) !== undefined;

/** The ports for them of the present run; where it moves, it has what its QEMU has here. */
export const slotsOf = ({ proof }: VmContext, field: DeviceField): number | undefined =>
  proof === null ? deviceSlots[field] : portsIn(proof, field);

export const slotOf = ({ plugs, disks, nics }: VmContext, id: string): number | undefined =>
  plugs[id]?.slot ?? disks[id]?.slot ?? nics[id]?.slot;

/** Those that the run is to have, as far as they are attached or bound. */
const isThere = ({ plugs }: VmContext, id: string): boolean => [undefined, 'plugging'].includes(plugs[id]?.phase);

/** Of the present run, those that are attached, in their order. */
export const runDisks = (context: VmContext): readonly IncarnationDisk[] =>
  runDevices(context, 'disks').flatMap((volume) => context.disks[volume] ?? []);
/** Of the present run, those that are bound, in their order. */
export const runNics = (context: VmContext): readonly IncarnationNic[] =>
  runDevices(context, 'nics').flatMap((port) => context.nics[port] ?? []);
export const keptDisks = (context: VmContext): readonly IncarnationDisk[] =>
  runDisks(context).filter(({ volume }) => isThere(context, volume));
export const keptNics = (context: VmContext): readonly IncarnationNic[] =>
  runNics(context).filter(({ port }) => isThere(context, port));

/** The run with these devices, in the order of the declaration, but for the disk that it boots from. */
export function withDevices(context: VmContext, runSpec: VmSpec, ids: readonly string[]): VmSpec {
  const { spec } = context;
  const ordered = [...deviceFields.flatMap((field) => wantedDevices(context, field)), ...ids];
  const named = <Item>(items: readonly Item[], idOf: (item: Item) => string): Item[] =>
    [...new Set(ordered)]
      .filter((id) => ids.includes(id))
      .flatMap((id) => items.find((item) => idOf(item) === id) ?? []);
  return {
    ...runSpec,
    disks: named([...runSpec.disks, ...(spec?.disks ?? [])], ({ volume }) => volumeId(context, volume)),
    nics: named([...runSpec.nics, ...(spec?.nics ?? [])], (nic) => portId(context, nic)),
  };
}

/** A part of K13: the NICs that guests have agree with the declarations of their VMs. Called by settled-cloud.ts. */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { HostListing } from './settled-cloud.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/** What differs is what the VM says to be underway, or that waits for its next start. */
export function wrongNics({ id, state, context }: StoredActor, hosts: readonly HostListing[]): string[] {
  const { spec, plugs, proof } = fields(context);
  if (state !== 'running' || fields(proof)['nicSlots'] === undefined) return [];
  const declared = (fields(spec)['nics'] as readonly { readonly name: string }[]).map(
    ({ name }) => `${id.replace('vm/', 'port/')}.${name}`,
  );
  const had = hosts.flatMap(({ incarnations }) => incarnations.find(({ vm, runs }) => vm === id && runs)?.nics ?? []);
  const underway = Object.keys(fields(plugs));
  const differs = (port: string): boolean => declared.includes(port) !== had.includes(port) && !underway.includes(port);
  return [...new Set([...declared, ...had])]
    .filter(differs)
    .map((port) => `${id} ${declared.includes(port) ? 'declares' : 'does not declare'} ${port}, unlike its guest`);
}

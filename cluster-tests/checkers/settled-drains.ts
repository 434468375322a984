/**
 * Hosts that are drained, in a settled cloud: one that says that it is drained has no VM, and of one that is not, each
 * VM that is left has said why it stays. A pure function of the stored actors; called by settled-cloud.ts.
 */
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';

interface Stored {
  readonly host: { readonly name: string } | null;
  readonly waiting: readonly { readonly vm: string; readonly code: string; readonly message: string }[];
  readonly drain: { readonly progress: { readonly phase: string } | null } | null;
}
const stored = ({ context }: StoredActor): Partial<Stored> => context as Partial<Stored>;

/** @param live by actor id */
export function wrongDrains(live: ReadonlyMap<string, StoredActor>): string[] {
  const all = [...live.values()];
  const ofKind = (kind: string): readonly StoredActor[] => all.filter(({ id }) => partsOf(id as ActorId).kind === kind);
  const vmsOn = (name: string): readonly string[] =>
    ofKind('vm').flatMap((vm) => (stored(vm).host?.name === name ? [String(vm.id)] : []));
  return ofKind('host').flatMap((host) => {
    const { drain = null } = stored(host);
    if (drain === null) return [];
    const { name } = partsOf(host.id as ActorId);
    const left = vmsOn(name);
    if (drain.progress?.phase === 'drained') return left.map((vm) => `${host.id} is drained, and ${vm} is on it`);
    const going = live.get(`drain/system/${name}`);
    if (going === undefined) return [`${host.id} is to be drained, and nothing drains it`];
    const { waiting = [] } = stored(going);
    const silent = waiting.filter(({ code, message }) => code === '' || message === '');
    return [
      ...silent.map(({ vm }) => `${vm} stays on ${host.id}, which is drained, and does not say why`),
      ...left
        .filter((id) => !waiting.some(({ vm }) => vm === id))
        .map((vm) => `${vm} is on ${host.id}, which is drained, and was not asked why`),
    ];
  });
}

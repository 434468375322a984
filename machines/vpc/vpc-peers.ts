/**
 * Members of security groups across peerings: a VPC tells its peerings which of its ports have which groups, they tell
 * the other VPC, and that has those addresses in section `group-members` beside its own. Each change of a port is one
 * message to the peering and one from it. No addresses of the two VPCs are equal, so the address alone is a key. Pure
 * functions. Upholds: of a peering that ends no member stays.
 */
import { assertEvent } from 'xstate';
import { sameJson } from '../values/failures.ts';
import { peeringsSection } from '../values/peering-elements.ts';
import { putRow, removeRow, row, rows, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { Location, VpcContext } from './vpc-context.ts';
import { peerMembers } from './vpc-peer-protocol.ts';
import type { VpcEvent } from './vpc-protocol.ts';
import { peerMemberRows, publishingMembers, type PeerMember } from './vpc-sections.ts';

type At = Seen<VpcContext, VpcEvent>;
type Done = Acted<VpcContext>;

/** Tells every peering that a port has come, gone or has other groups. Undefined stands for no location. */
export function tellPeers(
  { elements }: VpcContext,
  address: string,
  before: Location | undefined,
  after: Location | undefined,
): readonly Asked[] {
  const [had, has] = [before?.groups ?? [], after?.groups ?? []];
  if (sameJson(had, has)) return [];
  const change = has.length > 0 ? { put: { [address]: has }, removed: [] } : { put: {}, removed: [address] };
  return Object.keys(elements[peeringsSection] ?? {}).map((id) => send(id, peerMembers({ whole: false, ...change })));
}

/** Whether an element makes or ends a peering of the VPC; then rows are needed. */
export function peeringStep({ context, event }: At): 'begins' | 'ends' | null {
  if (event.type !== 'element.put' && event.type !== 'element.remove') return null;
  if (event.section !== peeringsSection) return null;
  if (event.type === 'element.remove') return 'ends';
  return context.elements[peeringsSection]?.[event.key] === undefined ? 'begins' : null;
}

/** In one message, which must fit into a frame between nodes also when each port has five groups with long names. */
const membersAtMost = 1_000;

/** Does what `change` does with an element; a new peering is told all members, of one that ends they are forgotten. */
export const sharingMembers =
  (change: (seen: At) => Done) =>
  (seen: At): Done => {
    const done = change(seen);
    const step = peeringStep(seen);
    const after = { ...seen.context, ...done.changes };
    const { event } = seen;
    if (step === null || !('key' in event)) return done;
    if (step === 'ends') {
      const forgotten = takingMembers(after, event, event.key, { whole: true, put: {}, removed: [] });
      return { changes: { ...done.changes, ...forgotten.changes }, asks: [...done.asks, ...forgotten.asks] };
    }
    // It was refused.
    if (after.elements[peeringsSection]?.[event.key] === undefined) return done;
    const members = Object.entries(rows<Location>(event, 'location'))
      .filter(([, { groups }]) => groups.length > 0)
      .map(([address, { groups }]) => [address, groups] as const);
    const parts = Array.from({ length: Math.max(1, Math.ceil(members.length / membersAtMost)) }, (_, part) =>
      members.slice(part * membersAtMost, (part + 1) * membersAtMost),
    );
    const told = parts.map((part, at) =>
      send(event.key, peerMembers({ whole: at === 0, put: Object.fromEntries(part), removed: [] })),
    );
    return { changes: done.changes, asks: [...done.asks, ...told] };
  };

/** Members of the other VPC, as their peering passes them on. */
export function takePeerMembers({ context, event }: At): Done {
  assertEvent(event, 'peer.members');
  const peering = event.meta.from ?? '';
  if (context.elements[peeringsSection]?.[peering] === undefined) return { changes: {}, asks: [] };
  return takingMembers(context, event, peering, event);
}

interface MembersTold {
  readonly whole: boolean;
  readonly put: Readonly<Record<string, readonly string[]>>;
  readonly removed: readonly string[];
}

function takingMembers(context: VpcContext, event: VpcEvent, peering: string, told: MembersTold): Done {
  const { whole, put, removed } = told;
  const known = (address: string): PeerMember | undefined =>
    whole ? rows<PeerMember>(event, peerMemberRows)[address] : row<PeerMember>(event, peerMemberRows, address);
  const changed = Object.entries(put).filter(
    ([address, groups]) => !sameJson(known(address), { peering, groups } satisfies PeerMember),
  );
  const left = whole
    ? Object.keys(rows(event, peerMemberRows)).filter((address) => put[address] === undefined)
    : removed;
  const gone = left.filter((address) => known(address)?.peering === peering);
  if (changed.length === 0 && gone.length === 0) return { changes: {}, asks: [] };
  const elements = changed.map(([address, groups]) => [address, { groups }] as const);
  const { segments, asks } = publishingMembers(context, { put: Object.fromEntries(elements), removed: gone });
  return {
    changes: { segments },
    asks: [
      ...changed.map(([address, groups]) => putRow(peerMemberRows, address, { peering, groups } satisfies PeerMember)),
      ...gone.map((address) => removeRow(peerMemberRows, address)),
      ...asks,
    ],
  };
}

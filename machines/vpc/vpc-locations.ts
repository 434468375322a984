/**
 * Where the ports of a VPC are, as rows, and who is told: hosts by their sections `routes` and `group-members`, its
 * peerings (vpc-peers.ts), and objects that watch ports, such as a service IP. A watch selects ports by labels or by
 * id; it gets the whole list when it begins, and then every change. Pure functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { sameJson } from '../values/failures.ts';
import { putRow, removeRow, row, rows, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { omit, type Location, type VpcContext } from './vpc-context.ts';
import { membersChanged, membersMatched, nearbyAtMost } from './vpc-protocol.ts';
import type { Member, MemberSelect, VpcEvent } from './vpc-protocol.ts';
import { tellPeers } from './vpc-peers.ts';
import { publishingLocation } from './vpc-sections.ts';

type At = Seen<VpcContext, VpcEvent>;
type Done = Acted<VpcContext>;

const place = (event: VpcEvent & { address: string }): Location | undefined => row(event, 'location', event.address);

/** Publishes the route to the other hosts, and the groups of the port to all. */
export function locate({ context, event }: At): Done {
  assertEvent(event, 'port.located');
  const { port, address, host, groups, labels = {}, pair = false } = event;
  const labelled = Object.keys(labels).length === 0 ? {} : { labels };
  const more = pair ? { pair: true as const } : labelled;
  const [before, after] = [place(event), { port, host, groups, ...more } satisfies Location];
  if (sameJson(before, after)) return { changes: {}, asks: [] };
  const { segments, asks } = publishingLocation(context, address, before, after);
  const told = [...tellMembers(context, address, before, after), ...tellPeers(context, address, before, after)];
  return { changes: { segments }, asks: [putRow('location', address, after), ...asks, ...told] };
}

/** Withdraws route and groups, unless the address has moved to another host or port, and ends the port's waiting. */
export function unlocate({ context, event }: At): Done {
  assertEvent(event, 'port.left');
  const { port, address, host } = event;
  const waiting = context.waiting.filter((each) => each.port !== port);
  const before = place(event);
  if (before === undefined || before.port !== port || before.host !== host) return { changes: { waiting }, asks: [] };
  const { segments, asks } = publishingLocation(context, address, before, undefined);
  const told = [...tellMembers(context, address, before, undefined), ...tellPeers(context, address, before, undefined)];
  return { changes: { segments, waiting }, asks: [removeRow('location', address), ...asks, ...told] };
}

/** Removes remaining locations, so that a later VPC of the same name starts without them. */
export const forgetLocations = ({ event }: At): readonly Asked[] =>
  Object.keys(rows<Location>(event, 'location')).map((address) => removeRow('location', address));

// Watches

function isSelected(select: MemberSelect, { port, labels = {}, pair }: Location): boolean {
  if (pair === true) return false;
  if ('ports' in select) return select.ports.includes(port);
  return Object.entries(select.labels).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value);
}

const hostNames = ({ segments }: VpcContext): ReadonlyMap<number, string> =>
  new Map(Object.values(segments).map(({ facts }) => [facts.index, facts.name]));

const memberAt = (names: ReadonlyMap<number, string>, address: string, { port, host }: Location): Member => ({
  port,
  address,
  host: names.get(host) ?? '',
});

/** Answers with the whole list; rows of all locations must be loaded. */
export function watchMembers({ context, event }: At): Acted<VpcContext> {
  assertEvent(event, 'members.watch');
  const { select, meta } = event;
  const by = meta.from ?? '';
  const names = hostNames(context);
  const all = Object.entries(rows<Location>(event, 'location'));
  const members = all
    .filter(([, location]) => isSelected(select, location))
    .map(([address, location]) => memberAt(names, address, location));
  const nearby = all.slice(0, nearbyAtMost).map(([, { port, labels = {} }]) => ({ port, labels }));
  return {
    changes: { watches: { ...context.watches, [by]: select } },
    asks: [send(by, membersMatched({ vpc: context.id, members, ...(members.length === 0 ? { nearby } : {}) }))],
  };
}

export function unwatchMembers({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'members.unwatch');
  return { watches: omit(context.watches, [event.meta.from ?? '']) };
}

/** Tells those that watch the port where it is now. Undefined stands for no location. */
function tellMembers(
  context: VpcContext,
  address: string,
  before: Location | undefined,
  after: Location | undefined,
): readonly Asked[] {
  const watches = Object.entries(context.watches);
  if (watches.length === 0) return [];
  const names = hostNames(context);
  return watches.flatMap(([by, select]) => {
    const [had, has] = [before, after].map((at) =>
      at !== undefined && isSelected(select, at) ? memberAt(names, address, at) : undefined,
    );
    if (had?.port === has?.port && had?.host === has?.host) return [];
    const [added, removed] = [has === undefined ? [] : [has], had === undefined ? [] : [had]];
    return [send(by, membersChanged({ vpc: context.id, added, removed }))];
  });
}

/**
 * Who knows the subnets of a VPC: a router, whose next hops are in them. It is told all of them when it begins to watch
 * and whenever they change, and the VPC is not deleted meanwhile. Pure functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { sameJson } from '../values/failures.ts';
import { send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { VpcContext } from './vpc-context.ts';
import { rangesTold, type VpcEvent, type VpcRange } from './vpc-protocol.ts';

type At = Seen<VpcContext, VpcEvent>;

export const rangesOf = ({ networks }: Pick<VpcContext, 'networks'>): readonly VpcRange[] =>
  Object.entries(networks).flatMap(([network, { spec }]) =>
    spec.subnets.map(({ cidr, gateway }) => ({ network, cidr, gateway })),
  );

const told = (context: VpcContext, to: string, ranges: readonly VpcRange[] | null): Asked =>
  send(to, rangesTold({ vpc: context.id, ranges }));

export function watchRanges({ context, event }: At): Acted<VpcContext> {
  assertEvent(event, 'ranges.watch');
  const by = event.meta.from ?? '';
  const changes = { rangeWatchers: [...new Set([...context.rangeWatchers, by])].sort() };
  return { changes, asks: [told(context, by, rangesOf(context))] };
}

export function unwatchRanges({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'ranges.unwatch');
  return { rangeWatchers: context.rangeWatchers.filter((one) => one !== event.meta.from) };
}

export function answerNoRanges({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'ranges.watch');
  return [told(context, event.meta.from ?? '', null)];
}

/** A change of the VPC that tells those who watch when its subnets are others afterwards. */
export const tellingRanges =
  (change: (seen: At) => Acted<VpcContext>) =>
  (seen: At): Acted<VpcContext> => {
    const { changes, asks } = change(seen);
    const { context } = seen;
    const after = rangesOf({ networks: changes.networks ?? context.networks });
    if (sameJson(rangesOf(context), after)) return { changes, asks };
    return { changes, asks: [...asks, ...context.rangeWatchers.map((to) => told(context, to, after))] };
  };

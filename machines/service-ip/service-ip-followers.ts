/**
 * Objects that follow a service IP as they would follow a port: an external address that leads to it. They are told its
 * address and its end; while there are any, it is not deleted. Pure functions of context and event.
 */
import { assertEvent } from 'xstate';
import { portAddress, portLost } from '../port/port-protocol.ts';
import { reject, send, type Asked } from '../values/telling.ts';
import { networkId, type At, type Change, type ServiceIpContext } from './service-ip-context.ts';

export function noteFollower({ context, event }: At): Change {
  assertEvent(event, ['port.follow', 'port.unfollow']);
  const { from = '' } = event.meta;
  const others = context.followers.filter((one) => one !== from);
  return { followers: event.type === 'port.follow' ? [...others, from].sort() : others };
}

function addressTo(context: ServiceIpContext, followers: readonly string[]): readonly Asked[] {
  const { id, grant } = context;
  if (grant === null) return [];
  const { vpc, address } = grant;
  const network = networkId(context);
  return followers.map((to) => send(to, portAddress({ port: id, vpc, network, address })));
}

export const tellFollowers = ({ context }: At): readonly Asked[] => addressTo(context, context.followers);
export const tellFollower = ({ context, event }: At): readonly Asked[] => addressTo(context, [event.meta.from ?? '']);

/** It has ended, or does not exist. */
export const tellLost = ({ context }: At): readonly Asked[] =>
  context.followers.map((to) => send(to, portLost({ port: context.id })));
export const answerLost = ({ context, event }: At): readonly Asked[] => [
  send(event.meta.from ?? '', portLost({ port: context.id })),
];

export const isFollowed = ({ context }: At): boolean => context.followers.length > 0;

export const rejectFollowed = ({ context }: At): readonly Asked[] => {
  const message = `${context.id} is in use by ${context.followers.join(', ')}; change those first`;
  return [reject({ code: 'in_use', message })];
};

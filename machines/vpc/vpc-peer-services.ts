/**
 * Service IPs across peerings: a VPC tells its peerings where its own service IPs lead, and each puts them into the
 * other VPC as elements of section `service-ips`. Pure functions.
 * Upholds: what a VPC has of its peers is not told on; of a peering that ends no service IP stays.
 */
import { assertEvent } from 'xstate';
import { sameJson } from '../values/failures.ts';
import { peeringsSection } from '../values/peering-elements.ts';
import { serviceIpsSection, type ServiceIpElement } from '../values/service-elements.ts';
import { send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { omit, type VpcContext } from './vpc-context.ts';
import { peerService } from './vpc-peer-protocol.ts';
import type { VpcEvent } from './vpc-protocol.ts';
import { isOfPeer } from './vpc-reach.ts';

type At = Seen<VpcContext, VpcEvent>;
type Done = Acted<VpcContext>;
type Services = Readonly<Record<string, ServiceIpElement>>;

const peeringsIn = ({ elements }: VpcContext) => elements[peeringsSection] ?? {};
const servicesIn = ({ elements }: VpcContext) => elements[serviceIpsSection] ?? {};

/** What this peering knows of the VPC's own service IPs. */
function toldOf(context: VpcContext, peering: string): Services {
  if (peeringsIn(context)[peering] === undefined) return {};
  const own = Object.entries(servicesIn(context)).filter(([, service]) => !isOfPeer(service));
  return Object.fromEntries(own.map(([id, { element }]) => [id, element as ServiceIpElement]));
}

function telling(before: VpcContext, after: VpcContext, peering: string): readonly Asked[] {
  const [had, has] = [toldOf(before, peering), toldOf(after, peering)];
  const changed = [...new Set([...Object.keys(had), ...Object.keys(has)])].filter((id) => !sameJson(had[id], has[id]));
  return changed.map((serviceIp) => send(peering, peerService({ serviceIp, element: has[serviceIp] ?? null })));
}

/** No host has them any more: they were published with the peering. */
function withoutStrays(context: VpcContext): VpcContext['elements'] {
  const peerings = peeringsIn(context);
  const services = servicesIn(context);
  const strays = Object.keys(services).filter((id) => {
    const service = services[id];
    return service !== undefined && isOfPeer(service) && peerings[service.owner] === undefined;
  });
  if (strays.length === 0) return context.elements;
  return { ...context.elements, [serviceIpsSection]: omit(services, strays) };
}

/** Does what `change` does with an element, and tells peerings what that changes of service IPs: one message each. */
export const sharingServices =
  (change: (seen: At) => Done) =>
  (seen: At): Done => {
    const { context, event } = seen;
    assertEvent(event, ['element.put', 'element.remove']);
    const done = change(seen);
    if (event.section !== peeringsSection && event.section !== serviceIpsSection) return done;
    const after = { ...context, ...done.changes };
    const told = Object.keys(peeringsIn(after)).flatMap((peering) => telling(context, after, peering));
    return { changes: { ...done.changes, elements: withoutStrays(after) }, asks: [...done.asks, ...told] };
  };

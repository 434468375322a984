/**
 * Ends flows that were led to a backend which serves no longer: their conntrack entries are deleted, so that a tcp
 * client gets a reset for its next packet (chain `refuse` of service-rules.ts), and udp goes to another backend.
 * Called by service-ips-section.ts after the table leads nowhere else. Promise: flows to other backends are not
 * touched.
 */
import { protocolNumbers, type OpeningPacket } from '@photoncloud/machines/values/group-rules';
import type { ServiceIpElement } from '@photoncloud/machines/values/service-elements';
import { ObjectLocks } from '../object-locks.ts';
import { endFlows, listFlows, receiverPattern, type FlowPlace } from '../security-group/flow-table.ts';

/** Service IP -> where it leads; null: nowhere. */
export type ServedAddresses = ReadonlyMap<string, Pick<ServiceIpElement, 'ports' | 'backends'> | null>;

function isStale({ service, protocol, destination, destinationPort }: OpeningPacket, served: ServedAddresses): boolean {
  const now = service === undefined ? undefined : served.get(service.address);
  if (now === undefined || service === undefined) return false;
  return !(
    now?.backends.includes(destination) === true &&
    now.ports.some(
      (one) =>
        protocolNumbers[one.protocol] === protocol && one.port === service.port && one.targetPort === destinationPort,
    )
  );
}

const turns = new ObjectLocks();

/** @param served only flows to these addresses are looked at */
export function endStaleFlows(place: FlowPlace, served: ServedAddresses): Promise<void> {
  const { namespace } = place;
  return turns.hold(namespace, async () => {
    const stale = (await listFlows(place, '--dst-nat')).filter((flow) => isStale(flow, served));
    const what = `ending flows of ${namespace} to backends that no longer serve`;
    await endFlows(place, 'services', what, [...new Set(stale.map(receiverPattern))]);
  });
}

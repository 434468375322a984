/**
 * Reads where a tenant's VM runs, which address it has and which namespace its VPC has there, through the control API
 * as any client does. Used by the demo, the bench and the cluster tests.
 */
import { openApi, tokenOf } from '../cluster/api-session.ts';
import type { PhotonCluster } from '../cluster/cluster-launch.ts';
import { outside, type Topology } from '../cluster/cluster-topology.ts';
import type { GuestPlace } from './guest-page.ts';

export interface ActorJson {
  readonly id: string;
  readonly stateName: string;
  readonly spec: unknown;
  readonly status: Readonly<Record<string, unknown>>;
}

/** Reads one object by its whole id. */
export type GetActor = (id: string) => Promise<ActorJson>;

/** In a session of its own, as the operator. */
export const operatorReader =
  (cluster: PhotonCluster): GetActor =>
  async (id) => {
    const client = await openApi(cluster.relay, tokenOf(cluster.clientFile));
    try {
      return (await client.call('actor.get', { id })) as ActorJson;
    } finally {
      client.close();
    }
  };

/** Where a page is to be had outside of the cloud. @param id of the external address */
export async function publicPlace(cluster: PhotonCluster, id: string): Promise<GuestPlace> {
  const { status } = await operatorReader(cluster)(id);
  return { topology: cluster.topology, node: outside.node, namespace: null, address: String(status['address']) };
}

/** @throws Error when the VM is not placed, or has no address, or its VPC no proof there. */
export async function placeOf(topology: Topology, get: GetActor, vmId: string, vpc = 'main'): Promise<GuestPlace> {
  const { status, stateName } = await get(vmId);
  const node = status['host'];
  const ports = Object.values((status['ports'] ?? {}) as Record<string, { address?: string }>);
  const address = ports[0]?.address;
  if (typeof node !== 'string' || address === undefined) {
    throw new Error(`${vmId} is ${stateName}: no host or no address yet`);
  }
  const segment = await get(`segment/${vmId.split('/')[1]}/${vpc}@${node}`);
  const proof = segment.status['proof'] as { namespace?: string } | null | undefined;
  if (proof?.namespace === undefined) throw new Error(`${segment.id} is ${segment.stateName}: no namespace proven yet`);
  return { topology, node, namespace: proof.namespace, address };
}

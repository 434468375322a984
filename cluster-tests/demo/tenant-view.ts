/**
 * What the demo and the tests want to know of a tenant's objects, read through the CLI like everybody else: where a
 * VM is, which address it has, which namespace its VPC has there.
 */
import { photonCli, type PhotonCluster } from '../cluster/cluster-launch.ts';
import type { GuestPlace } from './guest-page.ts';

export interface ActorJson {
  readonly id: string;
  readonly stateName: string;
  readonly spec: unknown;
  readonly status: Readonly<Record<string, unknown>>;
}

/** `get` of one object, by its whole id, as the operator. */
export async function getActor(cluster: PhotonCluster, id: string): Promise<ActorJson> {
  return JSON.parse(await photonCli(cluster.clientFile, ['get', id, '-o', 'json'], 15_000)) as ActorJson;
}

/** @throws Error when the VM is not placed, or has no address, or its VPC no proof there. */
export async function placeOf(cluster: PhotonCluster, tenant: string, vm: string, vpc = 'main'): Promise<GuestPlace> {
  const { id, status, stateName } = await getActor(cluster, `vm/${tenant}/${vm}`);
  const node = status['host'];
  const ports = Object.values((status['ports'] ?? {}) as Record<string, { address?: string }>);
  const address = ports[0]?.address;
  if (typeof node !== 'string' || address === undefined) {
    throw new Error(`${id} is ${stateName}: no host or no address yet`);
  }
  const segment = await getActor(cluster, `segment/${tenant}/${vpc}@${node}`);
  const proof = segment.status['proof'] as { namespace?: string } | null | undefined;
  if (proof?.namespace === undefined) throw new Error(`${segment.id} is ${segment.stateName}: no namespace proven yet`);
  return { topology: cluster.topology, node, namespace: proof.namespace, address };
}

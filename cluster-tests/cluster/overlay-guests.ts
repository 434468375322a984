/**
 * Ports of a running cluster with a tap guest in each: declared through the control API, bound to a host without a VM,
 * their taps then opened in the VPC's namespace on that worker. Used by the tests of overlay, isolation and refusals.
 */
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import type { TapProof } from '@photoncloud/machines/values/wiring';
import { TapGuest } from '../harness/tap-guest.ts';
import { openApi, tokenOf } from './api-session.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import { until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';
import { asParams } from './api-session.ts';

export interface BoundPort {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly node: string;
  readonly address: string;
  readonly mac: string;
  readonly gateway: string;
  readonly tap: string;
  readonly bridge: string;
  /** As `ip netns` of the node names it. */
  readonly namespace: string;
  /** Path of that namespace as this machine sees it. */
  readonly namespacePath: string;
}

interface PortObject {
  readonly stateName: string;
  readonly status: {
    readonly address: string;
    readonly mac: string;
    readonly gateway: string;
    readonly proof: TapProof | null;
    readonly failure: { readonly message: string } | null;
  };
}

let commands = 0;

/** The typed client with the token of a client file of the cluster. */
export async function openClient(cluster: PhotonCluster, file: string): Promise<PhotonClient> {
  const token = tokenOf(file);
  return await openApi(cluster.relay, token);
}

/** A command under a fresh key; `id` is `<kind>/<tenant>/<name>`. @returns its result @throws PhotonError */
export async function command(client: PhotonClient, verb: string, id: string, params: unknown = {}): Promise<unknown> {
  const [kind = '', tenant = '', name = ''] = id.split('/');
  const idempotencyKey = `test-${process.pid}-${++commands}`;
  return (await client.call(`${kind}.${verb}`, { scope: tenant, name, idempotencyKey, params: asParams(verb, params) }))
    .result;
}

/** @param node the worker that the port is bound on @param params further params of `port.create` */
export async function bindPort(
  cluster: PhotonCluster,
  client: PhotonClient,
  id: string,
  node: string,
  params: {
    readonly network: string;
    readonly address?: string;
    readonly mac?: string;
    readonly securityGroups?: readonly string[];
  },
): Promise<BoundPort> {
  await command(client, 'create', id, { ...params, host: node });
  let last: PortObject | undefined;
  const isActive = async (): Promise<boolean> => {
    last = (await client.call('actor.get', { id })) as unknown as PortObject;
    return last.stateName === 'active' && last.status.proof !== null;
  };
  await until(`${id} is active`, isActive, 30_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; it is ${last?.stateName}: ${last?.status.failure?.message ?? 'no failure'}`);
  });
  const [, tenant = '', name = ''] = id.split('/');
  const { status } = last as PortObject;
  const { tap = '', bridge = '' } = status.proof ?? {};
  const namespace = await namespaceOf(cluster, client, id, node);
  const { address, mac, gateway } = status;
  return {
    id,
    tenant,
    name,
    node,
    address,
    mac,
    gateway,
    tap,
    bridge,
    namespace,
    namespacePath: `${rootOf(cluster, node)}/run/netns/${namespace}`,
  };
}

const rootOf = (cluster: PhotonCluster, node: string): string => `/proc/${cluster.topology.node(node).init.pid}/root`;

/** Path of the node's own network namespace, where its underlay is. */
export const underlayPath = (cluster: PhotonCluster, node: string): string =>
  `/proc/${cluster.topology.node(node).init.pid}/ns/net`;

async function namespaceOf(cluster: PhotonCluster, client: PhotonClient, port: string, node: string): Promise<string> {
  const [, tenant = '', name = ''] = port.split('/');
  const binding = (await client.call('actor.get', { id: `binding/${tenant}/${name}@${node}` })) as unknown as {
    spec: { vpc: string };
  };
  const segment = (await client.call('actor.get', {
    id: `${binding.spec.vpc.replace('vpc/', 'segment/')}@${node}`,
  })) as unknown as { status: { proof: { namespace: string } | null } };
  if (segment.status.proof === null) throw new Error(`the segment under ${port} has no proof`);
  return segment.status.proof.namespace;
}

export const openGuest = (port: BoundPort): Promise<TapGuest> =>
  TapGuest.open({ tap: port.tap, mac: port.mac, namespace: port.namespacePath });

/** A guest that is configured with the port's address, without DHCP. */
export async function openSettledGuest(port: BoundPort, prefix = 24): Promise<TapGuest> {
  const guest = await openGuest(port);
  await guest.configure({ address: port.address, prefix, gateway: port.gateway });
  return guest;
}

/** Runs a program in the VPC's namespace on the port's worker. */
export const execBeside = (cluster: PhotonCluster, port: BoundPort, argv: readonly string[]): Promise<string> =>
  cluster.topology.exec(port.node, ['nsenter', `--net=/run/netns/${port.namespace}`, ...argv]);

/** Waits, because the kernel removes a namespace a moment after its deletion. @throws Error naming what is left */
export async function untilNoResidue(cluster: PhotonCluster): Promise<void> {
  const workers = cluster.nodes.filter((node) => node.role === 'worker').map((node) => node.name);
  let left: string[] = [];
  const isClean = async (): Promise<boolean> => (left = await residueOf(cluster.topology, workers)).length === 0;
  await until('nothing is left on the workers', isClean, 15_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; there is: ${left.join('; ')}`);
  });
}

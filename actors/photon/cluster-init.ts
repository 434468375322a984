/**
 * `photon init`: makes the folders of a new cluster. Each node's folder is complete: certificate of the authority, the
 * node's own certificate and key, store password, `node.json`. It is copied to the node's computer; the nodes share no
 * other files. An existing cluster is never changed by it: cluster-upkeep.ts renews and adds.
 */
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { nameSchema } from '@photoncloud/machines/values/identifiers';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { issueCertificate, makeAuthority } from './certificate-authority.ts';
import { nodeConfigSchema, type NodeConfig } from './node-config.ts';
import { outgoingPorts } from './node-listeners.ts';
import { giveSealKey } from './secret-seal.ts';
import { digestOfPassword, storeUsersFile, type StoreUser } from './store-users.ts';

export interface NodeRequest {
  readonly node: string;
  readonly role: NodeConfig['role'];
  readonly address: string;
  /** A worker that takes shared volumes. */
  readonly storage?: boolean;
}

export interface InitRequest {
  readonly folder: string;
  readonly cluster: string;
  readonly nodes: readonly NodeRequest[];
  readonly allowedRoots: readonly string[];
  readonly allowedSources: readonly string[];
  /** Tenants that get a token of their own in addition to the operator's. */
  readonly tenants: readonly string[];
  readonly listenPorts: {
    readonly store: number;
    readonly sentinel: number;
    readonly peer: number;
    readonly api: number;
  };
}

/** How long a client's token is accepted; `photon token renew` makes the next one. */
export const tokenDays = 365;

export interface TokenLine {
  readonly name: string;
  readonly sha256: string;
  readonly scope: string;
  readonly admin: boolean;
  /** Absent in clusters that were made before tokens had a life. */
  readonly issued?: string;
  readonly expires?: string;
}

export const secret = (): string => randomBytes(32).toString('base64url');
export const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');
const writeSecret = (path: string, text: string): void => writeFileSync(path, `${text}\n`, { mode: 0o600 });

/** 4 letters that distinguish this node's kernel objects from those of other nodes on the same computer. */
function kernelPrefix(cluster: string, node: string): string {
  const digest = createHash('sha256').update(`${cluster}/${node}`).digest();
  const alphabet = 'abcdefghijklmnopqrstuvwxyz';
  return [...digest.subarray(0, 4)].map((byte) => alphabet[byte % 26]).join('');
}

/** The fields of a token that say how long it is accepted. */
export const tokenLife = (nowMs: number, days: number): { readonly issued: string; readonly expires: string } => ({
  issued: new Date(nowMs).toISOString(),
  expires: new Date(nowMs + days * 86_400_000).toISOString(),
});

/** Writes the operator's and the tenants' client files with their tokens; controllers get only the tokens' digests. */
function makeTokens(request: InitRequest, clients: string, url: string): TokenLine[] {
  const people = [
    { name: 'operator', scope: '*', admin: true },
    ...request.tenants.map((name) => ({ name, scope: name, admin: false })),
  ];
  return people.map(({ name, scope, admin }) => {
    const token = secret();
    writeSecret(join(clients, `${name}.json`), JSON.stringify({ url, token, caFile: 'ca.crt' }, null, 2));
    return { name, sha256: digestOf(token), scope, admin, ...tokenLife(Date.now(), tokenDays) };
  });
}

/**
 * A connection of any program on a node's host could have such a port as its own end just when the node starts. The
 * hosts may have another range than Linux has by default; a node looks at its own when it starts (node-listeners.ts).
 */
function checkListenPorts(listenPorts: InitRequest['listenPorts']): void {
  const { from, to } = outgoingPorts;
  for (const [name, listenPort] of Object.entries(listenPorts)) {
    if (listenPort < from || listenPort > to) continue;
    const text = `port ${listenPort} of ${name} is one that hosts give to outgoing connections (${from} to ${to})`;
    throw new PhotonError('rejection', 'listen_port_outgoing', `${text}; choose one below ${from}`);
  }
}

/**
 * What nodes know of the store. One host has it alone; on three or more each has a server with a Sentinel, and a
 * commit waits until most servers have it.
 * @throws rejection `no_store`, `store_hosts`
 */
function storeOf(stores: readonly NodeRequest[], listenPorts: InitRequest['listenPorts']): StoreConfig {
  const [first] = stores;
  if (first === undefined) throw reject('no_store', 'name the store: --store NAME=ADDRESS');
  const { address } = first;
  const { store: listenPort, sentinel } = listenPorts;
  if (stores.length === 1) return { address, listenPort, sentinels: [], replicas: 0 };
  if (stores.length % 2 === 0)
    throw reject(
      'store_hosts',
      `${stores.length} hosts for the store are no better than ${stores.length - 1}: name an odd number, or one`,
    );
  const twice = stores.find((one, at) => stores.findIndex((other) => other.address === one.address) < at);
  if (twice !== undefined)
    throw reject('store_hosts', `${twice.node} has the address of another store; each is a host of its own`);
  const sentinels = stores.map((one) => ({ address: one.address, listenPort: sentinel }));
  return { address, listenPort, sentinels, replicas: Math.floor(stores.length / 2) };
}

/**
 * @throws rejection `cluster_exists`, `name_invalid`, `no_controller`, `no_store`, `store_hosts`,
 *   `listen_port_outgoing`
 */
export async function initCluster(request: InitRequest): Promise<void> {
  const folder = resolve(request.folder);
  for (const name of [request.cluster, ...request.nodes.map((node) => node.node), ...request.tenants]) {
    const parsed = nameSchema.safeParse(name);
    if (!parsed.success) {
      throw new PhotonError(
        'rejection',
        'name_invalid',
        `${JSON.stringify(name)} ${parsed.error.issues[0]?.message ?? 'is no name'}`,
      );
    }
  }
  checkListenPorts(request.listenPorts);
  const controller = request.nodes.find(({ role }) => role === 'controller');
  if (controller === undefined)
    throw new PhotonError('rejection', 'no_controller', 'name at least one controller: --controller NAME=ADDRESS');
  const stores = request.nodes.filter(({ role }) => role === 'store');
  const store = storeOf(stores, request.listenPorts);
  if (existsSync(join(folder, 'authority'))) {
    throw new PhotonError('rejection', 'cluster_exists', `${folder} already contains a cluster; name another folder`);
  }
  const authority = join(folder, 'authority');
  const clients = join(folder, 'clients');
  mkdirSync(clients, { recursive: true, mode: 0o700 });
  await makeAuthority(authority, request.cluster);
  copyFileSync(join(authority, 'ca.crt'), join(clients, 'ca.crt'));
  const tokens = makeTokens(request, clients, `wss://${controller.address}:${request.listenPorts.api}/api`);
  // Its servers log in at each other, so they have one password.
  const ofStore = secret();
  const passwords = new Map(request.nodes.map(({ node, role }) => [node, role === 'store' ? ofStore : secret()]));
  const users = request.nodes.flatMap((node) => storeUserOf(node, passwords.get(node.node) ?? ''));
  for (const node of request.nodes)
    await makeNode(request, node, { folder, authority, passwords, users, store, tokens });
}

export const storeUserOf = ({ node, role }: NodeRequest, password: string): StoreUser[] =>
  role === 'store' ? [] : [{ node, role, sha256: digestOfPassword(password) }];

type StoreConfig = NodeConfig['store'];

export interface ClusterFacts {
  readonly folder: string;
  readonly authority: string;
  /** Of each node's user in the store. */
  readonly passwords: ReadonlyMap<string, string>;
  /** What the store knows of them. */
  readonly users: readonly StoreUser[];
  readonly store: StoreConfig;
  readonly tokens: readonly TokenLine[];
}

/** Also called for a node that is added later (cluster-upkeep.ts). */
export async function makeNode(
  request: Pick<InitRequest, 'cluster' | 'allowedRoots' | 'allowedSources'> & {
    readonly listenPorts: Pick<InitRequest['listenPorts'], 'peer' | 'api'>;
  },
  node: NodeRequest,
  common: ClusterFacts,
): Promise<void> {
  const target = join(common.folder, 'nodes', node.node);
  mkdirSync(target, { recursive: true, mode: 0o700 });
  const config: NodeConfig = nodeConfigSchema.parse({
    cluster: request.cluster,
    node: node.node,
    role: node.role,
    address: node.address,
    peerListenPort: request.listenPorts.peer,
    apiListenPort: request.listenPorts.api,
    store: common.store,
    kernelPrefix: kernelPrefix(request.cluster, node.node),
    allowedRoots: request.allowedRoots,
    storage: node.storage ?? false,
    allowedSources: request.allowedSources,
  });
  writeFileSync(join(target, 'node.json'), `${JSON.stringify(config, null, 2)}\n`);
  copyFileSync(join(common.authority, 'ca.crt'), join(target, 'ca.crt'));
  const addresses = [node.address, '127.0.0.1'];
  await issueCertificate(common.authority, target, { name: node.node, role: node.role, addresses });
  writeSecret(join(target, 'store.password'), common.passwords.get(node.node) ?? '');
  if (node.role !== 'store') giveSealKey(common.authority, target);
  if (node.role === 'store') writeSecret(join(target, storeUsersFile), JSON.stringify(common.users, null, 2));
  if (node.role === 'controller') {
    writeSecret(join(target, 'tokens.json'), JSON.stringify(common.tokens, null, 2));
  }
}

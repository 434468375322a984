/**
 * The configuration of a node: `node.json` in the node's folder, written by `photon init` and read at every start. It
 * contains addresses, paths and limits; secrets are in separate files beside it, readable by root alone.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nameSchema } from '@photoncloud/machines/values/identifiers';
import { durabilities } from '@photoncloud/runtime/contract/durability';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import { limitsSchema } from './node-limits.ts';

export const nodeRoles = ['store', 'controller', 'worker'] as const;

const listenPort = z.int().min(1).max(65_535);

export const nodeConfigSchema = z.strictObject({
  cluster: nameSchema,
  node: nameSchema,
  role: z.enum(nodeRoles),
  /** The IPv4 address under which other nodes reach this one. */
  address: z.ipv4(),
  peerListenPort: listenPort,
  apiListenPort: listenPort,
  store: z.strictObject({
    address: z.ipv4(),
    listenPort,
    /** Of a store of several hosts: the Sentinels, one beside each server. Empty: one server, which has none. */
    sentinels: z.array(z.strictObject({ address: z.ipv4(), listenPort })).default([]),
    /** How many replicas must acknowledge a commit. */
    replicas: z.int().min(0).max(8).default(0),
    /** The durability level of a commit before it is answered; default: the strongest that the store offers. */
    durability: z.enum(durabilities).optional(),
  }),
  /** The prefix of the names of all kernel objects that this node makes. */
  kernelPrefix: z.string().regex(/^[a-z][a-z0-9]{0,3}$/),
  /** Folders from which `file://` images may be imported. */
  allowedRoots: z.array(z.string().startsWith('/')).default([]),
  /** Of a worker: it takes the bytes of shared volumes, which VMs of every host use. */
  storage: z.boolean().default(false),
  /** Networks from which images may be fetched although their addresses are private, or of this host's network. */
  allowedSources: z.array(z.union([z.cidrv4(), z.cidrv6()])).default([]),
  /** Of a worker: VMs run here. False: it is a gateway or storage host alone. */
  guests: z.boolean().default(true),
  /** User id of the image owner: its files may be imported although not everybody on the host may read them. */
  imageOwnerUid: z.int().min(0).optional(),
  /** Of a worker: folder of the nix-agent of its host; default: `nix-agent` beside the worker's own folder. */
  nixAgentFolder: z.string().startsWith('/').optional(),
  /** Values that replace defaults, by group and name: `{"host": {"mailboxDepth": 512}}`. */
  limits: limitsSchema.default({}),
});

export type NodeConfig = z.infer<typeof nodeConfigSchema>;

/** A node's folder and its contents; its certificate is read by node-certificate.ts. */
export interface NodeFolder {
  readonly path: string;
  readonly config: NodeConfig;
  readonly storePassword: string;
}

/** @throws defeat `node_folder` when a file is absent or wrong; `photon init` makes them. */
export function openNodeFolder(path: string): NodeFolder {
  const read = (name: string): string => {
    try {
      return readFileSync(join(path, name), 'utf8');
    } catch (cause) {
      throw new PhotonError(
        'defeat',
        'node_folder',
        `${join(path, name)} cannot be read; make the folder with photon init`,
        { cause },
      );
    }
  };
  const parsed = nodeConfigSchema.safeParse(JSON.parse(read('node.json')));
  if (!parsed.success) {
    throw new PhotonError('defeat', 'node_folder', `${join(path, 'node.json')}: ${z.prettifyError(parsed.error)}`);
  }
  return {
    path,
    config: parsed.data,
    storePassword: read('store.password').trim(),
  };
}

/** @param given REDIS_URL: when set, it replaces the store that this cluster starts for itself */
export function storeUrlOf(folder: NodeFolder, given: string | undefined): string {
  const { address, listenPort: port, sentinels } = folder.config.store;
  const user = folder.config.role === 'store' ? 'photon' : folder.config.node;
  const password = encodeURIComponent(folder.storePassword);
  const login = `${user}:${password}`;
  if (given !== undefined) return given;
  if (sentinels.length === 0) return `redis://${login}@${address}:${port}`;
  const hosts = sentinels.map((one) => `${one.address}:${one.listenPort}`).join(',');
  const ownLogin = `sentinelUser=${user}&sentinelPassword=${password}`;
  return `redis+sentinel://${login}@${hosts}/${folder.config.cluster}?${ownLogin}`;
}

/**
 * Every command line of the `photon` program that the cluster tests use: `photon init`, the programs of the nodes, the
 * CLI. Data only; cluster-launch.ts runs them.
 */
import { join, resolve } from 'node:path';
import { nodeFlags } from '../harness/node-flags.ts';
import { insideFolder } from './topology-record.ts';

export const nodeRoles = ['store', 'controller', 'worker'] as const;
export type NodeRole = (typeof nodeRoles)[number];

export interface PlannedNode {
  readonly name: string;
  readonly role: NodeRole;
  /** Of a worker: it takes shared volumes. */
  readonly storage?: boolean;
  /** Of a worker: VMs run there; by default they do. */
  readonly guests?: boolean;
}

export const checkout = resolve(import.meta.dirname, '../..');
const photonMain = join(checkout, 'actors/photon/photon-main.ts');
const photon = (...argv: readonly string[]): string[] => [process.execPath, ...nodeFlags, photonMain, ...argv];

/** Name of the socket of a controller's API, in the node's folder. */
export const apiSocketName = 'api.sock';

export interface InitPlan {
  readonly folder: string;
  readonly cluster: string;
  readonly nodes: readonly (PlannedNode & { readonly address: string })[];
  readonly allowedRoots: readonly string[];
  readonly tenants: readonly string[];
}

export const initCommand = (plan: InitPlan): string[] =>
  photon(
    'init',
    '--dir',
    plan.folder,
    '--cluster',
    plan.cluster,
    ...plan.nodes.flatMap((node) => [
      node.storage === true ? '--storage' : `--${node.role}`,
      `${node.name}=${node.address}`,
    ]),
    ...plan.allowedRoots.flatMap((root) => ['--allow-root', root]),
    ...plan.tenants.flatMap((tenant) => ['--token', tenant]),
  );

/** Run inside the node. */
export const roleCommand = (role: NodeRole): string[] => photon(role, '--dir', insideFolder);

/** Run inside a node of the cluster, from where the store can be reached. */
export const upgradeCheckCommand: readonly string[] = photon('upgrade', 'check', '--dir', insideFolder);

/** Run on this machine; `clientFile` is one that init made. */
export const cliCommand = (clientFile: string, argv: readonly string[]): string[] =>
  photon('--as', clientFile, ...argv);

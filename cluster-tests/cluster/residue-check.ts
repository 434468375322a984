/**
 * Lists what a node still has of tenants, without the help of the product: namespaces, links, processes, firewall
 * rules, files. Reads only; the demo and the cluster tests call it after everything was deleted and expect an empty
 * list.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { outside, type Topology } from './cluster-topology.ts';

const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);

/** Folders below the worker's `host/` that are empty unless a tenant has objects here. */
const tenantFolders = ['machines', 'volumes', 'images'];

/** Interfaces that the topology gives to a node. */
const ownLinks: readonly string[] = ['lo', 'und0', outside.uplink];

async function kernelResidue(topology: Topology, node: string): Promise<string[]> {
  const exec = async (...argv: string[]): Promise<string[]> => lines(await topology.exec(node, argv));
  const namespaces = await exec('ip', 'netns', 'list');
  const links = (await exec('ip', '-o', 'link', 'show')).map((line) => line.split(/:\s+/)[1]?.split('@')[0] ?? line);
  const programs = await exec('ps', '-e', '-o', 'comm=');
  const rules = await exec('nft', 'list', 'ruleset');
  // Files that a reboot removes: DHCP hosts, sockets. Their folders are deleted with the last object.
  const volatileFiles = await exec('find', '/run', '-path', '/run/photon-*');
  return [
    ...namespaces.map((name) => `namespace ${name}`),
    ...links.filter((name) => !ownLinks.includes(name)).map((name) => `link ${name}`),
    ...programs.filter((name) => /^(qemu|dnsmasq)/.test(name)).map((name) => `process ${name}`),
    ...rules.slice(0, 3).map((line) => `firewall ${line}`),
    ...volatileFiles.map((path) => `file ${path}`),
  ];
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** @returns one line per object that is left, `w1: namespace ...` */
export async function residueOf(topology: Topology, nodes: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const node of nodes) {
    const host = join(topology.node(node).folder, 'host');
    const paths = tenantFolders.flatMap((name) => filesBelow(join(host, name)));
    const files = paths.map((path) => `file ${path.slice(host.length + 1)}`);
    found.push(...[...(await kernelResidue(topology, node)), ...files].map((line) => `${node}: ${line}`));
  }
  return found;
}

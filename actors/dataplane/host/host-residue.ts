/**
 * The residue: every object of ours on this host now, with its owner: namespaces, interfaces, processes, folders,
 * files. Only reads. The sweep starts from it, and tests and the demo use it to prove that nothing was left.
 * Promise: everything with our name prefix or in our folders is listed, also what a crash has left half made.
 */
import path from 'node:path';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { ResidueItem } from '../contract/host-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { listExports } from '../export/export-folder.ts';
import { listRuns } from '../hypervisor/qemu-folder.ts';
import { findIntakes } from '../image/copy-intake.ts';
import { readOwners } from '../image/copy-owners.ts';
import { imageFormats } from '../image/copy-paths.ts';
import { vxlanName } from '../kernel-names.ts';
import { readNamespace, readNamespaceOwner } from '../overlay/overlay-namespace.ts';
import { ownerOfAlias } from '../owner-alias.ts';
import { commandLineOf, findProcesses } from '../process-lookup.ts';
import { listFolder } from '../storage-files.ts';
import { readReplicaOwner } from '../volume/replica-owner.ts';

export async function listResidue(site: DataplaneSite): Promise<ResidueItem[]> {
  const parts = await Promise.all([
    namespaces(site),
    gateways(site),
    hostInterfaces(site),
    processes(site),
    runFolders(site),
    images(site),
    volumes(site),
  ]);
  return parts.flat();
}

async function namespaces(site: DataplaneSite): Promise<ResidueItem[]> {
  const items: ResidueItem[] = [];
  for (const name of (await listFolder('/run/netns')).filter((one) => site.names.isNamespace(one))) {
    if ((await readNamespace(name)) !== 'present') {
      items.push({ what: 'namespace', name, owner: null });
      continue;
    }
    const link = site.links.of(name);
    items.push({ what: 'namespace', name, owner: await readNamespaceOwner(link, site.options.cluster) });
    for (const { ifname, ifalias } of await link.links()) {
      const isOurs = [site.names.isBridge(ifname), site.names.isTap(ifname), site.names.isPeerLink(ifname)];
      if (ifname !== vxlanName && !isOurs.includes(true)) continue;
      items.push({ what: 'interface', name: `${name}/${ifname}`, owner: ownerOfAlias(site.options.cluster, ifalias) });
    }
  }
  return items;
}

/** Beside the namespaces of VPCs. */
async function gateways(site: DataplaneSite): Promise<ResidueItem[]> {
  const found = (await listFolder('/run/netns')).filter((one) => site.names.isGateway(one));
  return Promise.all(
    found.map(async (name) => ({ what: 'namespace', name, owner: await readGatewayOwner(site, name) })),
  );
}

/** Null for one that was left half made. */
export const readGatewayOwner = async (site: DataplaneSite, name: string): Promise<OwnerToken | null> =>
  (await readNamespace(name)) === 'present' ? readNamespaceOwner(site.links.of(name), site.options.cluster) : null;

async function hostInterfaces(site: DataplaneSite): Promise<ResidueItem[]> {
  return (await site.links.host.links())
    .filter(({ ifname }) => site.names.isTap(ifname) || site.names.isBridge(ifname) || site.names.isPeerLink(ifname))
    .map(({ ifname, ifalias }) => ({
      what: 'interface',
      name: ifname,
      owner: ownerOfAlias(site.options.cluster, ifalias),
    }));
}

async function processes(site: DataplaneSite): Promise<ResidueItem[]> {
  const below =
    (folder: string) =>
    (word: string): boolean =>
      word.replace('--conf-file=', '').startsWith(`${folder}/`);
  const runs = [...(await listRuns(site)), ...(await listExports(site))];
  const owners = new Map(runs.map(({ paths, owner }) => [paths.pidFile, owner]));
  const found = await findProcesses((words) => words.some(below(site.folders.run)) && !words.includes('nsenter'));
  return Promise.all(
    found.map(async ({ pid }): Promise<ResidueItem> => {
      const words = await commandLineOf(pid);
      const owner = words.map((word) => owners.get(word)).find((one) => one !== undefined);
      return { what: 'process', name: String(pid), owner: owner ?? null };
    }),
  );
}

async function runFolders(site: DataplaneSite): Promise<ResidueItem[]> {
  const { dhcp, metadata } = site.folders;
  const names = await Promise.all(
    [dhcp, metadata].map(async (folder) => (await listFolder(folder)).map((name) => path.join(folder, name))),
  );
  const networks = names.flat().map((name): ResidueItem => ({ what: 'folder', name, owner: null }));
  const incarnations = (await listRuns(site)).map(({ paths, owner }): ResidueItem => ({
    what: 'folder',
    name: paths.runFolder,
    owner,
  }));
  const exports = (await listExports(site)).map(({ paths, owner }): ResidueItem => ({
    what: 'folder',
    name: paths.folder,
    owner,
  }));
  return [...networks, ...incarnations, ...exports];
}

async function images(site: DataplaneSite): Promise<ResidueItem[]> {
  const names = (await listFolder(site.folders.images)).filter((name) => !name.endsWith('.owners'));
  const incoming = await findIntakes(site);
  const copies = await Promise.all(
    names.map(async (name): Promise<ResidueItem> => ({
      what: 'file',
      name: path.join('images', name),
      owner: (await ownersOfImage(site, name))[0] ?? null,
    })),
  );
  return [...copies, ...incoming.map(({ name, owner }): ResidueItem => ({ what: 'file', name, owner }))];
}

export async function ownersOfImage(site: DataplaneSite, name: string): Promise<OwnerToken[]> {
  const [sha256 = '', ending = ''] = name.split('.');
  const format = imageFormats.find((one) => one === ending);
  return format === undefined ? [] : readOwners(site, sha256, format);
}

async function volumes(site: DataplaneSite): Promise<ResidueItem[]> {
  return Promise.all(
    (await listFolder(site.folders.volumes)).map(async (name): Promise<ResidueItem> => ({
      what: 'file',
      name: path.join('volumes', name),
      owner: await readReplicaOwner(site, name.split('.')[0] ?? ''),
    })),
  );
}

/**
 * The residue: every object of ours on this host now, with its owner: namespaces, interfaces, processes, folders,
 * files. Only reads. The sweep starts from it, and tests and the demo use it to prove that nothing was left.
 * Promise: everything with our name prefix or in our folders is listed, also what a crash has left half made.
 */
import path from 'node:path';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { ResidueItem } from '../contract/host-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { listRuns } from '../hypervisor/qemu-folder.ts';
import { readOwners } from '../image/copy-owners.ts';
import { imageFormats } from '../image/copy-paths.ts';
import { vxlanName } from '../kernel-names.ts';
import { readNamespace, readNamespaceOwner } from '../overlay/overlay-namespace.ts';
import { ownerOfAlias } from '../owner-alias.ts';
import { commandLineOf, findProcesses } from '../process-lookup.ts';
import { listFolder } from '../storage-files.ts';
import { readReplicaOwner } from '../volume/replica-store.ts';

export async function listResidue(site: DataplaneSite): Promise<ResidueItem[]> {
  const parts = await Promise.all([
    namespaces(site),
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
      if (ifname !== vxlanName && !site.names.isBridge(ifname) && !site.names.isTap(ifname)) continue;
      items.push({ what: 'interface', name: `${name}/${ifname}`, owner: ownerOfAlias(site.options.cluster, ifalias) });
    }
  }
  return items;
}

async function hostInterfaces(site: DataplaneSite): Promise<ResidueItem[]> {
  return (await site.links.host.links())
    .filter((one) => site.names.isTap(one.ifname) || site.names.isBridge(one.ifname))
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
  const incarnations = new Map((await listRuns(site)).map(({ paths, owner }) => [paths.pidFile, owner]));
  const found = await findProcesses((words) => words.some(below(site.folders.run)) && !words.includes('nsenter'));
  return Promise.all(
    found.map(async ({ pid }): Promise<ResidueItem> => {
      const words = await commandLineOf(pid);
      const owner = words.map((word) => incarnations.get(word)).find((one) => one !== undefined);
      return { what: 'process', name: String(pid), owner: owner ?? null };
    }),
  );
}

async function runFolders(site: DataplaneSite): Promise<ResidueItem[]> {
  const dhcp = (await listFolder(site.folders.dhcp)).map((name): ResidueItem => ({
    what: 'folder',
    name: path.join(site.folders.dhcp, name),
    owner: null,
  }));
  const incarnations = (await listRuns(site)).map(({ paths, owner }): ResidueItem => ({
    what: 'folder',
    name: paths.runFolder,
    owner,
  }));
  return [...dhcp, ...incarnations];
}

async function images(site: DataplaneSite): Promise<ResidueItem[]> {
  const names = (await listFolder(site.folders.images)).filter((name) => !name.endsWith('.owners'));
  return Promise.all(
    names.map(async (name): Promise<ResidueItem> => ({
      what: 'file',
      name: path.join('images', name),
      owner: (await ownersOfImage(site, name))[0] ?? null,
    })),
  );
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

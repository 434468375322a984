/**
 * Section `metadata`: the networks of a VPC whose guests may ask 169.254.169.254 about themselves. Key: the network's
 * id; the element says nothing more. While there is one, the host has the address in the VPC's namespace, a service
 * that answers there, and for each port of a VM a record. The firewall lets in what comes from the bridges of these
 * networks and nobody else; every host answers its own guests.
 */
import { rm } from 'node:fs/promises';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { changeFirewall, inFirewallTurn, readSet, setDifference } from '../firewall/firewall-changes.ts';
import { metadataAddress, metadataSet } from '../firewall/firewall-rules.ts';
import { command } from '../kernel-command.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { overlayErrors } from '../overlay/overlay-errors.ts';
import { linkInto } from '../segment/segment-section.ts';
import type { SectionPlace, SegmentPlace, SegmentSection } from '../segment/segment-section.ts';
import { checkActor } from '../wiring-checks.ts';
import { publishRecords, servesHere, serviceFolder } from './metadata-records.ts';
import { ensureMetadataServer, readMetadataServer, stopMetadataServer } from './metadata-server.ts';

/** @throws defeat `spec_invalid` */
export function metadataIn(elements: Elements): readonly string[] {
  const networks = Object.keys(elements);
  for (const network of networks) checkActor('network', network);
  return networks;
}

const quoted = ({ site }: SegmentPlace, networks: readonly string[]): readonly string[] =>
  networks.map((network) => `"${site.names.bridgeOf(network)}"`);

async function admit(link: NamespaceLink, wanted: (actual: readonly string[]) => readonly string[]): Promise<number> {
  return inFirewallTurn(link, async () => {
    const actual = (await readSet(link, metadataSet)) ?? [];
    const names = wanted(actual);
    const { statements } = setDifference(metadataSet, names, actual);
    if (statements.length > 0) await changeFirewall(link, 'letting guests reach their metadata', statements);
    return names.length;
  });
}

const hasAddress = async (link: NamespaceLink): Promise<boolean> =>
  (await link.localAddresses()).includes(metadataAddress);

/** What a namespace with such a network has, or one without. */
async function settle(place: SegmentPlace, link: NamespaceLink, isWanted: boolean): Promise<void> {
  const { site, namespace, segment } = place;
  if (!isWanted) {
    await stop(place);
    if (!(await hasAddress(link))) return;
    await link.ip(`ending ${metadataAddress} of ${segment.vpc}`, [
      command`route delete local ${metadataAddress} dev lo`,
    ]);
    return;
  }
  if (!(await hasAddress(link)))
    await link.ip(
      `adding ${metadataAddress} to ${segment.vpc}`,
      [command`route add local ${metadataAddress} dev lo`],
      overlayErrors,
    );
  const folder = serviceFolder(site, namespace);
  await publishRecords(site, namespace);
  await site.locks.hold(`metadata ${namespace}`, () => ensureMetadataServer(folder, namespace));
}

const stop = ({ site, namespace }: SectionPlace): Promise<void> =>
  site.locks.hold(`metadata ${namespace}`, async () => {
    const folder = serviceFolder(site, namespace);
    await stopMetadataServer(folder);
    await rm(folder, { recursive: true, force: true });
  });

export const metadataSection: SegmentSection = {
  name: 'metadata',
  after: ['overlay', 'networks'],
  check: (elements) => void metadataIn(elements),

  startsEmpty: (place) => stop(place),

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    const names = quoted(place, metadataIn(elements));
    await settle(place, link, (await admit(link, () => names)) > 0);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const [added, gone] = [quoted(place, metadataIn(put)), quoted(place, metadataIn(removed))];
    const left = await admit(link, (actual) => [
      ...new Set([...actual.filter((name) => !gone.includes(name)), ...added]),
    ]);
    await settle(place, link, left > 0);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const actual = (await readSet(link, metadataSet)) ?? [];
    const [names, others] = [quoted(place, metadataIn(wanted)), quoted(place, metadataIn(unwanted))];
    const server = await readMetadataServer(serviceFolder(place.site, place.namespace));
    const drift = [
      ...names.filter((name) => !actual.includes(name)).map((name) => `${name} may not ask for metadata`),
      ...others.filter((name) => actual.includes(name)).map((name) => `${name} may still ask for metadata`),
      ...(names.length === 0 || server?.isCurrent === true ? [] : ['no metadata service']),
      ...(names.length === 0 || (await hasAddress(link)) ? [] : [`no address ${metadataAddress}`]),
    ];
    return { facts: server === null ? {} : { metadataPid: server.pid }, drift };
  },

  missing: async ({ site, namespace, segment }) => {
    const folder = serviceFolder(site, namespace);
    // What is being started just now is not gone.
    const isThere = async (): Promise<boolean> => (await readMetadataServer(folder)) !== null;
    if (!(await servesHere(site, namespace)) || (await isThere())) return null;
    if (await site.locks.hold(`metadata ${namespace}`, async () => !(await servesHere(site, namespace)) || isThere()))
      return null;
    return { reason: 'metadata_gone', detail: `The metadata service of ${segment.vpc} in ${namespace} is gone.` };
  },

  remove: stop,
};

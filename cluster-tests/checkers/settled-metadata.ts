/**
 * K13 for metadata, once no fault is active: on every host, the networks whose guests may ask are those that it has of
 * the VPC and that declare it. Pure; called by settled-cloud.ts.
 */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { SegmentListing } from './settled-peerings.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

interface Host {
  readonly host: string;
  readonly segments: readonly SegmentListing[];
}

const listed = (names: Iterable<string>): string => [...names].toSorted().join(' ');

export function wrongMetadata(live: ReadonlyMap<string, StoredActor>, hosts: readonly Host[]): readonly string[] {
  const declares = (network: string): boolean =>
    fields(fields(live.get(network)?.context)['spec'])['metadata'] === true;
  return hosts.flatMap(({ host, segments }) =>
    segments.flatMap(({ vpc, elements }) => {
      const view = fields(fields(fields(live.get(vpc)?.context)['segments'])[host]);
      const wanted = listed(Object.keys(fields(view['networks'])).filter(declares));
      const found = listed(elements?.get('metadata')?.keys() ?? []);
      return wanted === found ? [] : [`${vpc} on ${host} serves metadata to "${found}", declared is "${wanted}"`];
    }),
  );
}

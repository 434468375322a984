/** Events of the cluster chart; see docs/protocol.md. */
import type { HostReport } from '../host/host-events.ts';
import type { Meta } from '../values/requests.ts';
import type { HostInventory } from '../values/wiring.ts';

export interface LastRun {
  readonly host: string;
  readonly incarnationUid: string;
}

export interface PlaceRequest {
  readonly vm: string;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Name of the only host that will do, or null. */
  readonly host: string | null;
  /** Hosts its volumes are on; a volume that is nowhere yet counts for nothing. */
  readonly volumeHosts: readonly (string | null)[];
  /** Its last run as the VM knows it; null when it never ran. */
  readonly lastRun: LastRun | null;
}

export interface ImportRequest {
  readonly image: string;
  readonly path: string;
  readonly host: string | null;
}

export type ClusterEvent =
  | { type: 'cluster.open'; name: string; meta: Meta }
  | {
      type: 'host.register';
      host: string;
      facts: HostReport;
      schedulable: boolean;
      silent: boolean;
      /** Hosts of before chart version 2 do not say it. */
      fenced?: boolean;
      meta: Meta;
    }
  | { type: 'host.find'; host: string; meta: Meta }
  | { type: 'vni.allocate'; vpc: string; meta: Meta }
  | { type: 'vni.release'; vpc: string; meta: Meta }
  | ({ type: 'place'; meta: Meta } & PlaceRequest)
  | { type: 'place.release'; vm: string; meta: Meta }
  | ({ type: 'import.place'; meta: Meta } & ImportRequest)
  | ({ type: 'host.found'; host: string; era: number; meta: Meta } & HostInventory)
  | { type: 'era.ask'; network: string; vpc: string; meta: Meta }
  | { type: 'cluster.release-barrier'; meta: Meta };

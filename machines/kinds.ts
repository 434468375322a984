/** Every kind of actor, declared or not. The API, the pages of docs/reference and the checks of senders start here. */
import { agentKind } from './agent/agent-protocol.ts';
import { bindingKind } from './binding/binding-protocol.ts';
import { clusterKind } from './cluster/cluster-protocol.ts';
import { drainKind } from './drain/drain-protocol.ts';
import { externalNetworkKind } from './external-network/external-network-protocol.ts';
import { gatewayKind } from './gateway/gateway-protocol.ts';
import { hostRolloutKind } from './host-rollout/host-rollout-protocol.ts';
import { hostKind } from './host/host-protocol.ts';
import { imageCopyKind } from './image-copy/image-copy-protocol.ts';
import { incarnationKind } from './incarnation/incarnation-protocol.ts';
import { migrationKind } from './migration/migration-protocol.ts';
import { planKind } from './plan/plan-protocol.ts';
import { replicaKind } from './replica/replica-protocol.ts';
import { rolloutKind } from './rollout/rollout-protocol.ts';
import { segmentKind } from './segment/segment-protocol.ts';
import { serviceCheckKind } from './service-check/service-check-protocol.ts';
import { snapshotCopyKind } from './snapshot-copy/snapshot-copy-protocol.ts';
import { tenantKind } from './tenant/tenant-protocol.ts';
import { tenantKinds } from './tenant-kinds.ts';
import { volumeExportKind } from './volume-export/volume-export-protocol.ts';
import type { KindSchema } from './values/kind.ts';

/** Kinds that clients declare, in the order in which their objects are created. */
export const declaredKinds: readonly KindSchema[] = [externalNetworkKind, rolloutKind, tenantKind, ...tenantKinds];

export const allKinds: readonly KindSchema[] = [
  ...declaredKinds,
  clusterKind,
  hostKind,
  drainKind,
  migrationKind,
  planKind,
  agentKind,
  hostRolloutKind,
  segmentKind,
  gatewayKind,
  bindingKind,
  imageCopyKind,
  replicaKind,
  volumeExportKind,
  snapshotCopyKind,
  incarnationKind,
  serviceCheckKind,
];

/** Message type -> kinds that send it. */
export const sendersOf: ReadonlyMap<string, ReadonlySet<string>> = (() => {
  const senders = new Map<string, Set<string>>();
  for (const { kind, sends } of allKinds) {
    for (const { type } of sends) senders.set(type, (senders.get(type) ?? new Set()).add(kind));
  }
  return senders;
})();

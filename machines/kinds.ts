/** Every kind of actor, declared or not. The API, the pages of docs/reference and the checks of senders start here. */
import { agentKind } from './agent/agent-protocol.ts';
import { bindingKind } from './binding/binding-protocol.ts';
import { clusterKind } from './cluster/cluster-protocol.ts';
import { hostKind } from './host/host-protocol.ts';
import { imageCopyKind } from './image-copy/image-copy-protocol.ts';
import { incarnationKind } from './incarnation/incarnation-protocol.ts';
import { replicaKind } from './replica/replica-protocol.ts';
import { segmentKind } from './segment/segment-protocol.ts';
import { tenantKind } from './tenant/tenant-protocol.ts';
import { tenantKinds } from './tenant-kinds.ts';
import type { KindSchema } from './values/kind.ts';

/** Kinds that clients declare, in the order in which their objects are created. */
export const declaredKinds: readonly KindSchema[] = [tenantKind, ...tenantKinds];

export const allKinds: readonly KindSchema[] = [
  ...declaredKinds,
  clusterKind,
  hostKind,
  agentKind,
  segmentKind,
  bindingKind,
  imageCopyKind,
  replicaKind,
  incarnationKind,
];

/** Message type -> kinds that send it. */
export const sendersOf: ReadonlyMap<string, ReadonlySet<string>> = (() => {
  const senders = new Map<string, Set<string>>();
  for (const { kind, sends } of allKinds) {
    for (const { type } of sends) senders.set(type, (senders.get(type) ?? new Set()).add(kind));
  }
  return senders;
})();

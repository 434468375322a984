/** Effects of a gateway on its host. */
import type { gatewayKind } from '@photoncloud/machines/gateway/gateway-protocol';
import type { GatewayDataplane } from '../dataplane/contract/gateway-contract.ts';
import type { PerformersOf } from '../kind/kind-definition.ts';

export const gatewayPerformers = (host: GatewayDataplane): PerformersOf<typeof gatewayKind> => ({
  'gateway.check': { timeoutMs: 20_000, perform: (ask, call) => host.checkGateway(ask, call) },
  'gateway.watch': { timeoutMs: null, perform: (ask, call) => host.watchGateway(ask, call) },
});

/** A network as most rows of its decision tables find it: ready, one subnet of sixteen addresses, no port. */
import { freshUse } from './network-addresses.ts';
import type { NetworkContext } from './network-messages.ts';
import { declarationOf } from './network-spec.ts';

const id = 'network/t/n';
export const request = { subnets: [{ cidr: '10.0.0.0/28' }] };
const spec = declarationOf(request);
export const held: NetworkContext = {
  id,
  uid: 'U1',
  spec,
  subnets: spec.subnets.map(freshUse),
  ports: 0,
  portQuota: 4_000,
  waiters: [],
  tries: 0,
  failure: null,
  era: 1,
  disputed: [],
};

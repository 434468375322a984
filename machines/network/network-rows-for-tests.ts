/** The usual network of its decision tables: ready, one subnet of sixteen addresses, no port. */
import { newDeclared } from '../values/declared.ts';
import { freshUse } from './network-addresses.ts';
import type { NetworkContext } from './network-messages.ts';
import { networkSpec, type NetworkDeclaration } from './network-protocol.ts';
import { spaceOf } from './network-spec.ts';

/** A spec as a client writes it, with defaults filled in. */
export const specOf = (input: object): NetworkDeclaration => networkSpec.parse(input) as NetworkDeclaration;
export const declare = (verb: 'create' | 'update' | 'apply', input: object) => ({
  type: `network.${verb}`,
  spec: specOf(input),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});

export const sixteen = { subnets: [{ cidr: '10.0.0.0/28' }] };
const spec = specOf(sixteen);
export const held: NetworkContext = {
  ...newDeclared('network/t/n'),
  uid: 'U1',
  spec,
  generation: 1,
  observedGeneration: 1,
  proposed: null,
  subnets: spec.subnets.map((subnet) => freshUse(spaceOf(subnet))),
  ports: 0,
  portQuota: 4_000,
  era: 1,
  disputed: [],
};

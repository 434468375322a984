/** Service IPs of a VPC and of the VPCs that it is peered with: what peerings are told, and what hosts are. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { PeeringElement } from '../values/peering-elements.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { claim, held, network, two } from './vpc-rows-for-tests.ts';

const [peering, other] = ['peering/t/ab', 'peering/t/bc'];
const [web, theirs] = ['service-ip/t/web', 'service-ip/t/theirs'];
const nothing = { 'location/*': {}, 'peer-member/*': {} };

interface Sent {
  readonly to: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

function step(context: object, on: Row['on'], from: string) {
  const { asked, context: after } = decided(vpcMachine, context, { in: 'ready', rows: nothing, from, to: 'ready', on });
  const sent = asked.flatMap(({ type, params }): Sent[] => {
    if (type !== 'send') return [];
    const { to, event } = params as { to: string; event: { type: string } };
    return [{ to, ...event }];
  });
  const told = sent
    .filter(({ type }) => type === 'peer.service')
    .map(({ to, serviceIp, element: at }) => [to, serviceIp, at]);
  const published = sent
    .filter(({ type }) => type === 'segment.publish')
    .flatMap(({ to, updates }) =>
      (updates as readonly { section: string; put: object; removed: readonly string[] }[])
        .filter(({ section }) => section === 'service-ips')
        .map(({ put, removed }) => [to.split('@')[1], put, removed]),
    );
  return { told, published, after: after as unknown as VpcContext, sent };
}

const service = (address: string, ...backends: readonly string[]) => ({
  address,
  ports: [{ protocol: 'tcp', port: 80, targetPort: 8080 }],
  backends,
  affinity: 'none',
});
const putService = (key: string, element: object, generation = 1) => ({
  type: 'element.put',
  section: 'service-ips',
  key,
  element,
  generation,
});
const removeService = (key: string) => ({ type: 'element.remove', section: 'service-ips', key });
const link: PeeringElement = { peer: 'vpc/t/b', cidrs: ['10.9.0.0/24'], taken: [], mtu: 1500, hosts: ['w1', 'w2'] };
const join = (key = peering, more: Partial<PeeringElement> = {}, generation = 1) => ({
  type: 'element.put',
  section: 'peerings',
  key,
  element: { ...link, ...more },
  generation,
});
const part = { type: 'element.remove', section: 'peerings', key: peering };

const ours = service('10.0.0.200', '10.0.0.5');
const ofPeer = service('10.9.0.200', '10.9.0.5');
const onTwo = { ...held, ...two };
const joined = step(onTwo, join(), peering).after;

test('a peering is told all service IPs of the VPC when it begins, then each that changes, once', () => {
  const serving = step(onTwo, putService(web, ours), web);
  assert.equal(serving.told, [], 'nobody is peered');
  const begun = step(serving.after, join(), peering);
  assert.equal(begun.told, [[peering, web, ours]]);
  assert.equal(step(begun.after, join(peering, { mtu: 1400 }, 2), peering).told, [], 'only a new one');
  const second = step(begun.after, join(other, { peer: 'vpc/t/c', cidrs: ['10.8.0.0/24'] }), other);
  assert.equal(second.told, [[other, web, ours]]);
  const fewer = service('10.0.0.200');
  const changed = step(second.after, putService(web, fewer, 2), web);
  assert.equal(changed.told, [
    [peering, web, fewer],
    [other, web, fewer],
  ]);
  assert.equal(step(changed.after, putService(web, fewer, 3), web).told, []);
  assert.equal(step(changed.after, removeService(web), web).told, [
    [peering, web, null],
    [other, web, null],
  ]);
  const put = { type: 'element.put', section: 'address-sets', key: 'address-set/t/s', element: {}, generation: 1 };
  assert.equal(step(changed.after, put, 'address-set/t/s').told, []);
});

test('a service IP of a peered VPC goes to the hosts that reach it, and not on to other peerings', () => {
  const both = step(joined, join(other, { peer: 'vpc/t/c', cidrs: ['10.8.0.0/24'] }), other).after;
  const taken = step(both, putService(theirs, ofPeer, 0), peering);
  assert.equal(taken.published, [
    ['w1', { [theirs]: ofPeer }, []],
    ['w2', { [theirs]: ofPeer }, []],
  ]);
  assert.equal(taken.told, []);
  assert.not.ok(
    taken.sent.some(({ type }) => type === 'element.realized'),
    'nobody waits for it',
  );
  const gone = step(taken.after, removeService(theirs), peering);
  assert.equal(gone.published, [
    ['w1', {}, [theirs]],
    ['w2', {}, [theirs]],
  ]);
  const half = step(onTwo, join(peering, { hosts: ['w2'] }), peering).after;
  assert.equal(step(half, putService(theirs, ofPeer, 0), peering).published, [['w2', { [theirs]: ofPeer }, []]]);
});

test('hosts are told of no service IP whose address the peering does not lead to', () => {
  const stranger = service('10.7.0.1', '10.7.0.2');
  assert.equal(step(joined, putService(theirs, stranger, 0), peering).published, []);
  assert.equal(step(joined, putService(theirs, ofPeer, 0), other).published, [], 'of a peering that is not there');
  // A network of the VPC's own, given at the same moment, goes before that of the peer, and so before its service IPs.
  const subnets = [{ name: 's', cidr: '10.9.0.0/24', gateway: '10.9.0.1' }];
  const overlapping = step(onTwo, claim(network('b', { subnets })), 'network/t/b').after;
  const late = step(overlapping, join(), peering).after;
  assert.equal(step(late, putService(theirs, ofPeer, 0), peering).published, []);
});

test('with the end of a peering the service IPs of the other VPC are gone, and the own ones stay', () => {
  const serving = step(joined, putService(web, ours), web).after;
  const taken = step(serving, putService(theirs, ofPeer, 0), peering).after;
  assert.equal(Object.keys(taken.elements['service-ips'] ?? {}), [web, theirs]);
  const parted = step(taken, part, peering);
  assert.equal(parted.published, [
    ['w1', {}, [theirs]],
    ['w2', {}, [theirs]],
  ]);
  assert.equal(Object.keys(parted.after.elements['service-ips'] ?? {}), [web]);
});

test.run();

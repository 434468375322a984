/** Which packets rules of security groups admit, and what is wrong with a rule. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { admits, groupRuleSchema, ruleProblem } from './group-rules.ts';
import type { GroupPolicy, GroupRule, OpeningPacket } from './group-rules.ts';

const rule = (more: Partial<GroupRule>): GroupRule => groupRuleSchema.parse({ direction: 'ingress', ...more });
const [web, client, unknown] = ['security-group/acme/web', 'security-group/acme/client', 'security-group/acme/none'];
const office = 'address-set/acme/office';
const shop = 'service-ip/acme/shop';

const policyOf = (...rules: readonly GroupRule[]): GroupPolicy => ({
  rules: new Map([[web, rules]]),
  members: new Map([['10.0.0.7', [client, web]]]),
  addressSets: new Map([[office, ['192.0.2.0/25', '198.51.100.7/32']]]),
  serviceIps: new Map([[shop, '10.0.0.100']]),
});
const packet = (more: Partial<OpeningPacket> = {}): OpeningPacket => ({
  source: '10.0.0.7',
  destination: '10.0.0.8',
  protocol: 6,
  destinationPort: 443,
  ...more,
});
const passes = (one: Partial<GroupRule>, more: Partial<OpeningPacket> = {}, groups: readonly string[] = [web]) =>
  admits(policyOf(rule(one)), groups, rule(one).direction, packet(more));

test('without a rule nothing passes, and a rule without fields admits everything in its direction', () => {
  assert.not.ok(admits(policyOf(), [web], 'ingress', packet()));
  assert.ok(passes({}));
  assert.ok(passes({}, { protocol: 47 }));
  assert.not.ok(passes({}, {}, []));
  assert.not.ok(passes({}, {}, [client]));
  assert.ok(passes({}, {}, [unknown, web]), 'one group that admits is enough');
  assert.not.ok(admits(policyOf(rule({})), [web], 'egress', packet()));
  assert.ok(admits(policyOf(rule({ protocol: 'udp' }), rule({})), [web], 'ingress', packet()), 'the second rule');
});

test('protocol, ports at both ends of a range, type and code', () => {
  const range = { protocol: 'tcp', ports: { from: 80, to: 443 } } as const;
  for (const [destinationPort, expected] of [
    [79, false],
    [80, true],
    [200, true],
    [443, true],
    [444, false],
  ] as const)
    assert.is(passes(range, { destinationPort }), expected, String(destinationPort));
  for (const [protocol, number] of [
    ['tcp', 6],
    ['udp', 17],
    ['sctp', 132],
    ['icmp', 1],
    [47, 47],
    [0, 0],
  ] as const) {
    assert.ok(passes({ protocol }, { protocol: number }), String(protocol));
    assert.not.ok(passes({ protocol }, { protocol: number + 1 }), String(protocol));
  }
  assert.not.ok(passes({ ...range, protocol: 'udp' }), 'the port of another protocol');
  const echo = { protocol: 1, icmp: { type: 8, code: 0 } };
  assert.ok(passes({ protocol: 'icmp' }, echo));
  assert.ok(passes({ protocol: 'icmp', icmp: { type: 8, code: null } }, echo));
  assert.ok(passes({ protocol: 'icmp', icmp: { type: 8, code: 0 } }, echo));
  assert.not.ok(passes({ protocol: 'icmp', icmp: { type: 8, code: 1 } }, echo));
  assert.not.ok(passes({ protocol: 'icmp', icmp: { type: 13, code: null } }, echo));
});

test('the remote is the source of ingress and the destination of egress', () => {
  const toOther = { source: '10.0.0.8', destination: '10.0.0.7' };
  for (const remote of [{ cidr: '10.0.0.7/32' }, { cidr: '10.0.0.6/31' }, { cidr: '0.0.0.0/0' }, { group: client }]) {
    assert.ok(passes({ remote }), JSON.stringify(remote));
    assert.ok(passes({ direction: 'egress', remote }, toOther), JSON.stringify(remote));
    if (!('cidr' in remote && remote.cidr === '0.0.0.0/0')) {
      assert.not.ok(passes({ remote }, toOther), JSON.stringify(remote));
      assert.not.ok(passes({ direction: 'egress', remote }), JSON.stringify(remote));
    }
  }
  assert.not.ok(passes({ remote: { cidr: '10.0.0.8/29' } }));
  assert.ok(passes({ remote: { addressSet: office } }, { source: '192.0.2.127' }));
  assert.not.ok(passes({ remote: { addressSet: office } }, { source: '192.0.2.128' }));
  assert.ok(passes({ remote: { addressSet: office } }, { source: '198.51.100.7' }));
  // What nobody told of is empty.
  assert.not.ok(passes({ remote: { addressSet: 'address-set/acme/none' } }));
  assert.not.ok(passes({ remote: { group: unknown } }));
});

test('a service IP is the remote of flows that were sent to it, whichever backend they reach', () => {
  const remote = { serviceIp: shop };
  const led = { destination: '10.0.0.9', destinationPort: 8080, service: { address: '10.0.0.100', port: 80 } };
  const toShop = (one: Partial<GroupRule>, more: Partial<OpeningPacket> = led) =>
    passes({ direction: 'egress', remote, ...one }, more);
  assert.ok(toShop({}));
  assert.ok(toShop({ protocol: 'tcp' }));
  assert.not.ok(toShop({ protocol: 'udp' }));
  assert.ok(toShop({ protocol: 'tcp', ports: { from: 80, to: 80 } }), 'the port of the service IP');
  assert.not.ok(toShop({ protocol: 'tcp', ports: { from: 8080, to: 8080 } }), 'the port of the backend');
  assert.not.ok(toShop({}, { destination: '10.0.0.9' }), 'the same backend without the service IP');
  assert.not.ok(toShop({}, { ...led, service: { address: '10.0.0.101', port: 80 } }), 'another service IP');
  assert.not.ok(toShop({ remote: { serviceIp: 'service-ip/acme/none' } }), 'one that hosts were not told of');
  // Every other rule sees the flow as it reaches the backend.
  assert.ok(toShop({ remote: { cidr: '10.0.0.9/32' }, protocol: 'tcp', ports: { from: 8080, to: 8080 } }));
  assert.not.ok(toShop({ remote: { cidr: '10.0.0.100/32' } }));
  assert.is(ruleProblem(rule({ remote }))?.code, 'service_ip_ingress');
  assert.is(ruleProblem(rule({ direction: 'egress', remote })), undefined);
});

test('a rule that contradicts itself is named with the field, and the ids of hosts fit into it', () => {
  const code = (one: Partial<GroupRule>) => ruleProblem(rule(one))?.code ?? 'none';
  assert.is(code({ protocol: 'tcp', ports: { from: 1, to: 65_535 }, remote: { cidr: '0.0.0.0/0' } }), 'none');
  assert.is(code({ protocol: 6 }), 'protocol_named');
  assert.is(code({ ports: { from: 1, to: 2 } }), 'ports_unused');
  assert.is(code({ protocol: 'icmp', ports: { from: 1, to: 2 } }), 'ports_unused');
  assert.is(code({ protocol: 'tcp', ports: { from: 2, to: 1 } }), 'ports_reversed');
  assert.is(code({ protocol: 'tcp', icmp: { type: 8, code: null } }), 'icmp_unused');
  assert.is(code({ remote: { cidr: '10.0.0.1/24' } }), 'cidr_invalid');
  const longest = `security-group/${'t'.repeat(40)}/${'n'.repeat(40)}`;
  assert.equal(rule({ remote: { group: longest } }).remote, { group: longest });
  assert.throws(() => groupRuleSchema.parse({ direction: 'ingress', remote: { group: longest, cidr: '10.0.0.0/8' } }));
});

test.run();

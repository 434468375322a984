/**
 * Flows on the real kernel while security groups change: what is no longer admitted ends, whatever was taken away, also
 * by a worker that starts after the change; what is still admitted goes on.
 */
// needs: kernel
import { mkdtempSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupRule, OpeningPacket } from '@photoncloud/machines/values/group-rules';
import { inOwnNamespaces, makeTestFolder, nextCall, segmentAsk, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { NamespaceLink } from '../namespace-link.ts';
import { tcpFlags } from '../packets-for-tests.ts';
import { deletionsOf } from './flow-review.ts';
import { flowOf, receiverPattern } from './flow-table.ts';
import { addressOf, groupId, GroupVpc, rule, setId, type Sample } from './groups-for-tests.ts';

const [client, web, other] = [11, 12, 13];
const fromClients = rule({
  direction: 'ingress',
  protocol: 'tcp',
  ports: { from: 80, to: 80 },
  remote: { group: groupId('client') },
});
const fromOffice = rule({ direction: 'ingress', protocol: 'udp', remote: { addressSet: setId('office') } });
const groups: Readonly<Record<string, readonly GroupRule[]>> = {
  [groupId('client')]: [rule({ direction: 'egress' })],
  [groupId('web')]: [fromClients, fromOffice],
  [groupId('spare')]: [],
};
const members = {
  [addressOf(client)]: [groupId('client')],
  [addressOf(web)]: [groupId('web')],
  [addressOf(other)]: [groupId('client')],
};
const addressSets = { [setId('office')]: [`${addressOf(other)}/32`] };
const world = { groups, members, addressSets };
const elementsOf = (rules: readonly GroupRule[]) => ({ [groupId('web')]: { rules } });

/** A flow from one port to another: established, and then one more packet of it. */
interface Flow {
  readonly from: number;
  readonly to: number;
  readonly opening: readonly (readonly [back: boolean, sample: Sample])[];
  readonly next: Sample;
}

const tcpFlow = (from: number, source: number): Flow => {
  const there = (flags: number, sequence: number, acknowledges: number): Sample => ({
    protocol: 6,
    ports: [source, 80],
    tcp: { flags, sequence, acknowledges },
  });
  const back: Sample = { ...there(tcpFlags.synAck, 900, 101), ports: [80, source] };
  return {
    from,
    to: web,
    opening: [
      [false, there(tcpFlags.syn, 100, 0)],
      [true, back],
      [false, there(tcpFlags.ack, 101, 901)],
    ],
    next: there(tcpFlags.ack, 101, 901),
  };
};

const udpFlow = (from: number, source: number): Flow => ({
  from,
  to: web,
  opening: [
    [false, { protocol: 17, ports: [source, 53] }],
    [true, { protocol: 17, ports: [53, source] }],
  ],
  next: { protocol: 17, ports: [source, 53] },
});

test('few revoked flows are named one by one, many by patterns that fit no other', () => {
  const flow = (source: number, destinationPort: number, host = 2): OpeningPacket => ({
    source: `10.0.0.${source}`,
    destination: `10.0.1.${host}`,
    protocol: 6,
    destinationPort,
  });
  const [ssh, kept] = [[...Array(100).keys()].map((source) => flow(source, 22)), flow(7, 80)];
  assert.equal(deletionsOf([...ssh, kept], ssh.slice(0, 1)), [' -s 10.0.0.0 -d 10.0.1.2 -p 6 --dport 22']);
  assert.equal(deletionsOf(ssh, ssh), [' -d 10.0.1.2']);
  assert.equal(deletionsOf([...ssh, kept], ssh), [' -d 10.0.1.2 -p 6 --dport 22']);
  const odd = flow(9, 22, 3);
  const both = deletionsOf([...ssh, odd, flow(9, 80, 3)], [...ssh, odd]);
  assert.equal([...both].sort(), [' -d 10.0.1.2', ' -s 10.0.0.9 -p 6 --dport 22']);
  const toOne = ssh.map((one) => ({ ...one, source: '10.0.0.1', destinationPort: Number(one.source.split('.')[3]) }));
  assert.equal(deletionsOf([...toOne, kept], toOne), [' -s 10.0.0.1']);
});

test('a flow that was led to a backend is named by where it was sent and by who answers', () => {
  const led = flowOf(
    'tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.200 sport=40000 dport=80 ' +
      'src=10.0.1.2 dst=10.0.0.1 sport=8080 dport=40000 [ASSURED] mark=0 use=1',
  );
  const service = { address: '10.0.0.200', port: 80 };
  const backend = { source: '10.0.0.1', destination: '10.0.1.2', protocol: 6, destinationPort: 8080 };
  assert.equal(led, { ...backend, service });
  assert.is(receiverPattern(led as OpeningPacket), ' -d 10.0.0.200 -r 10.0.1.2 -p 6 --dport 80 --reply-port-src 8080');
  // To itself it is answered at its gateway; one that nobody answered yet is led, too.
  const itself = flowOf(
    'udp      17 29 src=10.0.1.2 dst=10.0.0.200 sport=5 dport=80 [UNREPLIED] ' +
      'src=10.0.1.2 dst=10.0.0.254 sport=8080 dport=1024 mark=0 use=1',
  );
  assert.equal(itself, { ...backend, protocol: 17, source: '10.0.1.2', service });
  const plain = flowOf(
    'icmp     1 29 src=10.0.0.1 dst=10.0.1.2 type=8 code=0 id=7 ' +
      'src=10.0.1.2 dst=10.0.0.1 type=0 code=0 id=7 mark=0 use=1',
  );
  assert.equal(plain, { source: '10.0.0.1', destination: '10.0.1.2', protocol: 1, icmp: { type: 8, code: 0 } });
  assert.is(flowOf('conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.'), undefined);
});

inOwnNamespaces(import.meta.filename, () => {
  const { folder, remove } = makeTestFolder();
  const first = createDataplane(testOptions(folder));
  let source = 30_000;
  let vpc: GroupVpc;

  async function establish(flow: Flow): Promise<Flow> {
    for (const [back, sample] of flow.opening) {
      const [from, to] = back ? [flow.to, flow.from] : [flow.from, flow.to];
      assert.ok(await vpc.passes(from, to, sample), `${from} to ${to}: ${JSON.stringify(sample)}`);
    }
    return flow;
  }
  const tcp = (from: number) => establish(tcpFlow(from, (source += 1)));
  const udp = (from: number) => establish(udpFlow(from, (source += 1)));
  const goesOn = (flow: Flow) => vpc.passes(flow.from, flow.to, flow.next);

  async function restored(): Promise<void> {
    assert.equal((await vpc.dp.realizeSegment(segmentAsk(world), nextCall())).failed, {});
    await vpc.wire(client, 'client');
    await vpc.wire(web, 'web');
    await vpc.wire(other, 'client');
  }

  test.before(async () => {
    vpc = await GroupVpc.make(await first, world);
    await restored();
  });
  test.after(async () => {
    await vpc.close();
    await vpc.dp.close();
    remove();
  });

  test('a rule that goes ends the flows that only it admitted, and a rule that comes ends none', async () => {
    await restored();
    const [one, two, dns] = [await tcp(client), await tcp(other), await udp(other)];
    await vpc.change('security-groups', elementsOf([fromOffice, fromClients, rule({ direction: 'egress' })]));
    assert.equal([await goesOn(one), await goesOn(two), await goesOn(dns)], [true, true, true]);
    // Another rule admits one of them, too.
    const stillOne = { ...fromClients, remote: { cidr: `${addressOf(client)}/32` } };
    await vpc.change('security-groups', elementsOf([stillOne, fromOffice]));
    assert.equal([await goesOn(one), await goesOn(two), await goesOn(dns)], [true, false, true]);
  });

  test('a port that leaves a group takes its flows along, and those of others stay', async () => {
    await restored();
    const [one, two] = [await tcp(client), await tcp(other)];
    await vpc.change('group-members', { [addressOf(client)]: { groups: [] } });
    assert.equal([await goesOn(one), await goesOn(two)], [false, true]);
    await vpc.change('group-members', {}, { [addressOf(other)]: { groups: [groupId('client')] } });
    assert.not.ok(await goesOn(two));
  });

  test('an address that leaves an address set takes its flows along', async () => {
    await restored();
    const [one, dns] = [await tcp(other), await udp(other)];
    await vpc.change('address-sets', { [setId('office')]: { cidrs: ['192.0.2.0/24'] } });
    assert.equal([await goesOn(one), await goesOn(dns)], [true, false]);
    await vpc.change('address-sets', { [setId('office')]: { cidrs: [`${addressOf(other)}/32`] } });
    const again = await udp(other);
    await vpc.change('address-sets', {}, { [setId('office')]: { cidrs: [] } });
    assert.equal([await goesOn(one), await goesOn(again)], [true, false]);
  });

  test('a port with other groups keeps the flows that they admit, as a sender and as a receiver', async () => {
    await restored();
    const [one, two] = [await tcp(client), await tcp(other)];
    await vpc.wire(client, 'client', 'spare');
    assert.equal([await goesOn(one), await goesOn(two)], [true, true]);
    await vpc.wire(client, 'spare');
    assert.equal([await goesOn(one), await goesOn(two)], [false, true]);
    await vpc.wire(web);
    assert.not.ok(await goesOn(two));
  });

  test('the kernel says how many flows a namespace has, without a look at each', async () => {
    await restored();
    const link = new NamespaceLink(vpc.namespace);
    const counted = async (): Promise<number> => Number((await vpc.inside('conntrack', '-C')).trim());
    try {
      await tcp(client);
      assert.is(await link.trackedFlows(), await counted());
      assert.ok((await counted()) > 0);
      await vpc.inside('conntrack', '-F');
      assert.is(await link.trackedFlows(), 0);
    } finally {
      await link.close();
    }
  });

  test('flows of the namespace itself are not judged', async () => {
    await restored();
    const flow = ['-p', 'tcp', '-s', '10.77.1.1', '-d', addressOf(web), '--sport', '5000', '--dport', '22'];
    await vpc.inside('conntrack', '-I', ...flow, '--state', 'ESTABLISHED', '-t', '100', '-u', 'SEEN_REPLY');
    await vpc.change('security-groups', elementsOf([]));
    assert.match(await vpc.inside('conntrack', '-L', ...flow.slice(0, 6)), 'dport=22');
  });

  test('a worker that starts reviews the flows once it was told all, also when rules stand', async () => {
    await restored();
    const [one, dns] = [await tcp(client), await udp(other)];
    await vpc.dp.close();
    // The worker before changed the rules and died before it ended the flows.
    const chain =
      /chain (gi_\w+) \{\s+ip saddr/.exec(await vpc.inside('nft', 'list', 'table', 'inet', 'sg'))?.[1] ?? '';
    await vpc.inside('nft', `flush chain inet sg ${chain}; add rule inet sg ${chain} meta l4proto udp accept`);
    assert.equal([await goesOn(one), await goesOn(dns)], [true, true]);
    vpc.dp = await createDataplane(testOptions(mkdtempSync(`${folder}/`)));
    const onlyUdp = { ...groups, [groupId('web')]: [rule({ direction: 'ingress', protocol: 'udp' })] };
    const { segment, sections } = segmentAsk({ ...world, groups: onlyUdp });
    const { 'address-sets': last, ...others } = sections;
    assert.equal((await vpc.dp.realizeSegment({ segment, sections: others }, nextCall())).failed, {});
    assert.equal([await goesOn(one), await goesOn(dns)], [true, true], 'it does not know the address sets yet');
    const whole = await vpc.dp.realizeSegment({ segment, sections: { 'address-sets': last } }, nextCall());
    assert.equal(whole.failed, {});
    assert.equal([await goesOn(one), await goesOn(dns)], [false, true]);
  });
});

test.run();

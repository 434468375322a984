/**
 * Peerings on the real kernel: VPCs of one host are joined, asked about, changed and parted; what comes over a link is
 * what belongs to it, and nothing goes on to a third VPC. Guests say what arrives.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PeeringHostElement } from '@photoncloud/machines/values/peering-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, nextCall, openForTests, ownerOf, run, until } from '../dataplane-for-tests.ts';
import { KernelNames } from '../kernel-names.ts';
import { frameOf, marksOf, tcpFlags } from '../packets-for-tests.ts';
import {
  addressIn,
  cidrOf,
  elementFor,
  groupId,
  macIn,
  PeeredVpcs,
  testGroups,
  vpcId,
} from './peered-vpcs-for-tests.ts';
import type { Sample, VpcName } from './peered-vpcs-for-tests.ts';
import { peeringsIn } from './peerings-section.ts';

const [ab, bc] = ['peering/acme/ab', 'peering/acme/bc'];
const names = new KernelNames('tst');
const link = names.peerLinkOf(ab);

test('an element that is none is refused before anything is made', () => {
  const refused = (elements: Elements) => assert.throws(() => peeringsIn(elements), /spec is invalid/);
  const good = elementFor('a', 'b');
  assert.is(peeringsIn({ [ab]: good, [bc]: elementFor('a', 'c') }).size, 2);
  for (const wrong of [
    { peer: 'vpc/acme/b; flush ruleset' },
    { peer: 'network/acme/b' },
    { cidrs: ['10.72.1.1/24'] },
    { cidrs: ['}; flush ruleset'] },
    { own: ['10.71.1.0'] },
    { mtu: 80 },
    { more: 1 },
  ])
    refused({ [ab]: { ...good, ...wrong } });
  refused({ 'vpc/acme/b': good });
  refused({ [ab]: { ...good, cidrs: ['10.71.0.0/16'] } });
  refused({ [ab]: good, [bc]: { ...elementFor('a', 'c'), cidrs: ['10.72.1.0/25'] } });
});

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  let vpcs: PeeredVpcs;
  const here = (name: VpcName, ...words: string[]) => vpcs.inside(name, ...words);
  const linksOf = async (name: VpcName) =>
    (await here(name, 'ip', '-br', 'link')).split('\n').flatMap((line) => /^(tstl[a-z0-9]+)@/.exec(line)?.[1] ?? []);
  const joined = async (): Promise<void> => {
    await vpcs.change('a', 'peerings', { [ab]: elementFor('a', 'b') });
    await vpcs.change('b', 'peerings', { [ab]: elementFor('b', 'a') });
  };
  const parted = async (): Promise<void> => {
    for (const name of ['a', 'b'] as const) {
      const peer = name === 'a' ? 'b' : 'a';
      await vpcs.change(name, 'peerings', {}, { [ab]: elementFor(name, peer) });
    }
  };
  const leavesNothing = async (name: VpcName): Promise<void> => {
    assert.equal(await linksOf(name), []);
    assert.not.match(await here(name, 'nft', 'list', 'ruleset'), /peering|tstl/);
    assert.not.match(await here(name, 'ip', 'route'), /169\.254\.66/);
  };

  test.before(async () => {
    vpcs = new PeeredVpcs(await opened);
    for (const name of ['a', 'b', 'c'] as const) await vpcs.realize(name);
    await vpcs.wire('a', 'open');
    await vpcs.wire('b', 'open');
    await vpcs.wire('c', 'open');
    await vpcs.wire('a', 'client', 12);
    await vpcs.wire('b', 'web', 12);
  });
  test.after(() => vpcs.close());

  test('two VPCs reach each other while they are joined, and nothing is left when they are parted', async () => {
    assert.is(await vpcs.pinged(addressIn('a'), addressIn('b')), 0);
    await joined();
    assert.equal([await vpcs.drift('a', { [ab]: elementFor('a', 'b') }), await linksOf('b')], ['{}', [link]]);
    assert.equal(
      [await vpcs.pinged(addressIn('a'), addressIn('b')), await vpcs.pinged(addressIn('b'), addressIn('a'))],
      [3, 3],
    );
    const flows = () => here('a', 'conntrack', '-L', '-d', addressIn('b')).catch(() => '');
    assert.match(await flows(), addressIn('b'));
    // Twice is once.
    const before = await here('a', 'ip', '-j', 'link', 'show', link);
    await joined();
    assert.is(await here('a', 'ip', '-j', 'link', 'show', link), before);
    await parted();
    for (const name of ['a', 'b'] as const) await leavesNothing(name);
    assert.not.match(await flows(), addressIn('b'));
    await parted();
  });

  const syn = (source: number, port: number): Sample => ({ protocol: 6, ports: [source, port] });

  test('security groups judge the real addresses, by CIDR and by group; a rule that goes ends a flow', async () => {
    await joined();
    const [client, web] = [['a', 12] as const, ['b', 12] as const];
    const tcp = (ports: readonly [number, number], flags: number, sequence: number, acknowledges: number): Sample => ({
      protocol: 6,
      ports,
      tcp: { flags, sequence, acknowledges },
    });
    /** A connection is established; another packet of it is returned. */
    const connected = async (source: number, port: number): Promise<Sample> => {
      await vpcs.arrives(client, web, tcp([source, port], tcpFlags.syn, 100, 0));
      await vpcs.arrives(web, client, tcp([port, source], tcpFlags.synAck, 900, 101));
      const next = tcp([source, port], tcpFlags.ack, 101, 901);
      await vpcs.arrives(client, web, next);
      return next;
    };
    // The group of the client has no member here yet.
    await vpcs.isStopped(client, web, syn(40_001, 80));
    const byCidr = await connected(40_002, 81);
    const member = { [addressIn('a', 12)]: { groups: [groupId('client')] } };
    await vpcs.change('b', 'group-members', member);
    const byGroup = await connected(40_003, 80);
    await vpcs.isStopped(['a', 11], web, syn(40_004, 80));
    // The web port may open nothing by itself, and the client hears nothing that it has not asked for.
    await vpcs.isStopped(web, client, syn(40_005, 80));
    await vpcs.isStopped(['b', 11], client, syn(40_006, 80));
    await vpcs.change('b', 'group-members', {}, member);
    await vpcs.isStopped(client, web, byGroup);
    await vpcs.arrives(client, web, byCidr);
    await vpcs.change('b', 'security-groups', { [groupId('web')]: { rules: [] } });
    await vpcs.isStopped(client, web, byCidr);
    await vpcs.change('b', 'security-groups', { [groupId('web')]: { rules: testGroups[groupId('web')] } });
    // What the sender may not send any more ends, too.
    const sending = await connected(40_007, 81);
    await vpcs.change('a', 'security-groups', { [groupId('client')]: { rules: [] } });
    await vpcs.isStopped(client, web, sending);
    await vpcs.change('a', 'security-groups', { [groupId('client')]: { rules: testGroups[groupId('client')] } });
    await parted();
  });

  /** Sends a packet out of a namespace itself, as nobody should, over its end of the link. */
  const forge = (at: VpcName, from: string, to: string): Promise<string> =>
    here(
      at,
      'sh',
      '-c',
      `ip addr add ${from}/32 dev lo; ping -c 1 -W 1 -I ${from} ${to}; ip addr delete ${from}/32 dev lo`,
    );

  test('a link takes packets of its own two VPCs only, and leads on to no third one', async () => {
    await joined();
    await vpcs.change('b', 'peerings', { [bc]: elementFor('b', 'c') });
    await vpcs.change('c', 'peerings', { [bc]: elementFor('c', 'b') });
    const [a, b, c] = [addressIn('a'), addressIn('b'), addressIn('c')];
    assert.equal([await vpcs.pinged(a, b), await vpcs.pinged(b, c)], [3, 3]);
    assert.equal([await vpcs.pinged(a, c), await vpcs.pinged(c, a)], [0, 0]);
    // Even with routes that nobody has declared, in both: b throws away what comes from a for c.
    const way = (to: VpcName, name: string) => [
      'ip',
      'route',
      'add',
      cidrOf(to),
      'via',
      '169.254.66.1',
      'dev',
      name,
      'onlink',
    ];
    await here('a', ...way('c', link));
    await here('c', ...way('a', names.peerLinkOf(bc)));
    assert.equal([await vpcs.pinged(a, c), await vpcs.pinged(c, a)], [0, 0]);
    await here('a', 'ip', 'route', 'delete', cidrOf('c'));
    await here('c', 'ip', 'route', 'delete', cidrOf('a'));
    // A source that is none of a's, and the gateways of b.
    assert.not.match(await forge('a', '192.0.2.7', b).catch(String), /1 received/);
    assert.is(await vpcs.pinged(a, addressIn('b', 1)), 3, 'gateways answer echoes');
    const dhcp = {
      protocol: 17,
      ports: [68, 67] as const,
      from: a,
      to: addressIn('b', 1),
      fromMac: macIn('a'),
      mark: 9,
    };
    const heard = () => here('b', 'nft', 'list', 'chain', 'inet', 'sg', 'input');
    await here(
      'b',
      'nft',
      'insert',
      'rule',
      'inet',
      'sg',
      'input',
      'iifname',
      link,
      'udp',
      'dport',
      '67',
      'counter',
      'drop',
    );
    assert.ok((await vpcs.guest(a).ask({ do: 'send', frame: frameOf(dhcp) }))['ok']);
    await vpcs.pinged(a, b);
    assert.match(await heard(), 'counter packets 0 bytes 0 drop', 'no server of b hears a');
    await vpcs.change('b', 'peerings', {}, { [bc]: elementFor('b', 'c') });
    await vpcs.change('c', 'peerings', {}, { [bc]: elementFor('c', 'b') });
    assert.is(await vpcs.pinged(a, b), 3, 'the other link stands');
    await leavesNothing('c');
    await parted();
  });

  test('a smaller MTU is answered with frag-needed, at the link and behind it', async () => {
    await joined();
    const [a, b] = [addressIn('a'), addressIn('b')];
    /** The MTU that an error tells, or 0 when the echo has arrived. */
    const answered = async (ask: Partial<PeeringHostElement>): Promise<number> => {
      await vpcs.change('a', 'peerings', { [ab]: elementFor('a', 'b', ask) });
      await vpcs.change('b', 'peerings', { [ab]: elementFor('b', 'a', ask) });
      vpcs.guest(a).frames.length = 0;
      const mark = await vpcs.bigEcho('a', 'b', 1_300);
      const found = (): readonly number[] => [
        ...vpcs.fragNeeded(vpcs.guest(a).frames, mark),
        ...(marksOf(vpcs.guest(b).frames, a).includes(mark) ? [0] : []),
      ];
      await until('the echo arrives or is answered', () => found().length > 0);
      return found()[0] ?? -1;
    };
    assert.is(await answered({}), 0, 'it fits');
    assert.is(await answered({ mtu: 1_200 }), 1_200, 'the link is narrow');
    await vpcs.narrow('b', 1_100);
    assert.is(await answered({}), 1_100, 'a network behind it is narrow');
    await vpcs.narrow('b', 1_400);
    await parted();
  });

  test('a CIDR that comes or goes is routed, let in and ended by itself', async () => {
    await joined();
    const more = elementFor('a', 'b', { cidrs: [cidrOf('b'), '10.99.0.0/24', '10.98.7.1/32'] });
    await vpcs.change('a', 'peerings', { [ab]: more });
    assert.match(await here('a', 'ip', 'route'), '10.99.0.0/24 via 169.254.66.1');
    assert.is(await vpcs.drift('a', { [ab]: more }), '{}');
    assert.is(await vpcs.pinged(addressIn('a'), addressIn('b')), 3);
    const none = elementFor('a', 'b', { cidrs: ['10.99.0.0/24'] });
    await vpcs.change('a', 'peerings', { [ab]: none });
    assert.is(await vpcs.pinged(addressIn('a'), addressIn('b')), 0);
    assert.not.match(await here('a', 'conntrack', '-L').catch(() => ''), addressIn('b'));
    assert.match(await vpcs.drift('a', { [ab]: more }), 'no route to 10.72.1.0/24');
    await parted();
  });

  test('whichever segment comes first leaves the far end for the other, and either may come again', async () => {
    await vpcs.removePorts();
    const dp = await opened;
    const drop = async (name: VpcName): Promise<void> =>
      void (await dp.removeSegment(vpcs.ask(name).segment, nextCall()));
    const stands = async (): Promise<void> => {
      for (const [name, peer] of [
        ['a', 'b'],
        ['b', 'a'],
      ] as const)
        assert.is(await vpcs.drift(name, { [ab]: elementFor(name, peer) }), '{}');
      assert.match(
        await here('a', 'ping', '-c', '1', '-W', '2', '-I', addressIn('a', 1), addressIn('b', 1)),
        '1 received',
      );
    };
    const residue = async () => (await dp.residue()).map(({ name }) => name).filter((name) => name.includes('tstl'));
    await drop('b');
    await vpcs.realize('a', { [ab]: elementFor('a', 'b') });
    assert.equal((await residue()).toSorted(), [link, `${vpcs.namespaces.get('a')}/${link}`].toSorted());
    await vpcs.realize('b', { [ab]: elementFor('b', 'a') });
    await stands();
    assert.is((await residue()).length, 2, 'nothing is left in the namespace of the host');
    // The namespace of b is made anew: its segment makes the link, and that of a finds its own end down.
    await drop('b');
    await vpcs.realize('b', { [ab]: elementFor('b', 'a') });
    const ask = { segment: vpcs.ask('a').segment, sections: ['peerings'] };
    const { reason, detail } = await dp.watchSegment(ask, nextCall());
    assert.equal([reason, detail], ['link_gone', 'A link of vpc/acme/a to a peered VPC is down.']);
    assert.match(await vpcs.drift('a', { [ab]: elementFor('a', 'b') }), 'is down');
    await vpcs.realize('a', { [ab]: elementFor('a', 'b') });
    await stands();
    // Removed by hand.
    await here('b', 'ip', 'link', 'delete', link);
    assert.match((await dp.watchSegment(ask, nextCall())).detail, 'is gone');
    for (const name of ['b', 'a'] as const)
      await vpcs.realize(name, { [ab]: elementFor(name, name === 'a' ? 'b' : 'a') });
    await stands();
    // A worker that died in the middle has left a link that nobody has set up, or one end in the host's namespace.
    for (const left of [
      ['link', 'set', link, 'netns', '1'],
      ['link', 'set', link, 'down'],
      ['addr', 'flush', 'dev', link],
    ]) {
      await here('b', 'ip', ...(left[3] === 'netns' ? ['link', 'set', link, 'netns', String(process.pid)] : left));
      for (const name of ['a', 'b'] as const)
        await vpcs.realize(name, { [ab]: elementFor(name, name === 'a' ? 'b' : 'a') });
      await stands();
    }
    await drop('a');
    assert.equal(await linksOf('b'), []);
    await drop('b');
    assert.equal(await residue(), []);
    assert.not.match(await run('ip', '-br', 'link'), /tstl/);
  });

  test('the sweep takes a link with the namespace of which no actor knows', async () => {
    const dp = await opened;
    await vpcs.realize('a', { [ab]: elementFor('a', 'b') });
    await dp.sweep({ owners: () => Promise.resolve([ownerOf('segment/acme/other@w1').actor]) }, nextCall());
    await until('the link is gone', async () => !(await run('ip', '-br', 'link')).includes('tstl'));
    assert.equal(
      (await dp.residue()).filter(({ name }) => name.includes('tstl') || name.includes(vpcId('a'))),
      [],
    );
  });
});

test.run();

/**
 * Two gateway hosts on the real kernel: a changed element alone moves the external addresses and the flows through
 * them, and a kernel whose worker renews nothing any more falls silent before another host may take over.
 */
// needs: kernel
// test limit: 240 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gatewayPermitMs } from '@photoncloud/machines/values/router-elements';
import type { SegmentOutcome } from '../contract/network-contract.ts';
import { inOwnNamespaces, ownerOf, until } from '../dataplane-for-tests.ts';
import { Running, type Guest } from './gateway-guests-for-tests.ts';
import { Hearing, heardIn } from './gateway-probe.ts';
import * as scene from './gateway-scene-for-tests.ts';
import { outside, server, TestHost } from './gateway-scene-for-tests.ts';

const webOutside = '203.0.113.20';
const network = 'external-network/system/public';

test('a gateway host is silent after three echoes without an answer, and heard with the next answer', () => {
  const hearing = new Hearing();
  const answer = '64 bytes from 192.0.2.2: icmp_seq=7 ttl=64 time=0.05 ms';
  const miss = 'no answer yet for icmp_seq=8';
  const said = [answer, miss, miss, answer, miss, miss, miss, miss, answer].map((line) => hearing.hear(heardIn(line)));
  assert.equal(said, [true, undefined, undefined, true, undefined, undefined, false, false, true]);
  assert.is(heardIn('PING 192.0.2.2 (192.0.2.2) 56(84) bytes of data.'), undefined);
});

inOwnNamespaces(import.meta.filename, () => {
  let hosts: Awaited<ReturnType<typeof scene.makeScene>>;
  let vpc: scene.TestVpc;
  let web: Guest;
  const beating = new Map<TestHost, NodeJS.Timeout>();

  const askOf = (host: TestHost, other: string, leads: boolean) => ({
    owner: ownerOf(`gateway/system/public@${host.name}`),
    network,
    uplink: { interface: 'ext1', mtu: 1_500 },
    leads,
    peer: { peer: scene.factsOf(other), heard: true },
  });
  /** Of work that ends with its host. */
  const unasked = (work: { readonly outcome: Promise<unknown> }): void => {
    work.outcome.then(
      () => undefined,
      () => undefined,
    );
  };
  /** As a worker whose beats reach the store. */
  function beat(host: TestHost): void {
    const once = (): void => unasked(host.begin('beatReached', 0));
    once();
    beating.set(host, setInterval(once, 200));
  }
  const still = (host: TestHost): void => clearInterval(beating.get(host));
  const lead = (host: TestHost, other: string, recovered = false) =>
    host.begin('watchGateway', askOf(host, other, true), recovered);
  const answers = (to: string): Promise<boolean> =>
    outside('ping', '-n', '-c', '1', '-W', '1', to).then(
      () => true,
      () => false,
    );
  /** Asked anew, whatever was learned before. */
  const resolves = async (to: string): Promise<boolean> => {
    await outside('ip', 'neigh', 'flush', 'dev', 'ext');
    await answers(to);
    return /lladdr/.test(await outside('ip', 'neigh', 'show', to));
  };

  test.after(scene.closeScene);

  test('an active gateway is silent until it has the permit, and announces itself with it', async () => {
    hosts = await scene.makeScene();
    const { g1, g2, w3 } = hosts;
    vpc = new scene.TestVpc('vpc/acme/main', 7701, [g1, g2, w3]);
    await vpc.realize();
    web = await vpc.bind(w3, 11);
    await vpc.change('gateway', { default: scene.element(1) });
    await vpc.change('external-addresses', { [webOutside]: { inside: web.address } });
    assert.not.ok(await resolves(webOutside), 'it answers without the permit');
    assert.not.ok(await web.pings(server, '-W', '1'));
    await outside('sysctl', '-q', '-w', 'net.ipv4.conf.ext.arp_accept=1');
    beat(g1);
    unasked(lead(g1, 'g2'));
    await until('it announces', async () => /lladdr/.test(await outside('ip', 'neigh', 'show', webOutside)));
    await outside('sysctl', '-q', '-w', 'net.ipv4.conf.ext.arp_accept=0');
    assert.equal([await answers(webOutside), await web.pings(server)], [true, true]);
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
  });

  test('a worker that dies takes its gateway along within two seconds, and the other one takes over', async () => {
    const { g1, g2, w3 } = hosts;
    // What the flow through the external address is: a line each way, before and after.
    const listener = new Running(web.namespace, 'perl', '-MIO::Socket::INET', '-e', echoServer);
    await until('the guest listens', () => listener.output.includes('listening'));
    const client = new Running('out', 'perl', '-MIO::Socket::INET', '-e', echoClient, webOutside);
    client.say('one\n');
    await until('a line came back', () => client.output.includes('<one>'));
    still(g1);
    const diedAt = performance.now();
    await g1.kill();
    await until('its kernel is silent', async () => !(await answers(webOutside)));
    const silentAfterMs = performance.now() - diedAt;
    assert.not.ok(await resolves(webOutside), 'it still answers ARP');
    // The kernel's own time-out, and one ping of a second that was on its way.
    assert.ok(silentAfterMs < gatewayPermitMs + 2_500, `${silentAfterMs} ms`);
    beat(g2);
    unasked(lead(g2, 'g1'));
    await vpc.change('gateway', { default: scene.element(2) }, [], [g2, w3]);
    await until('the other one answers', () => answers(webOutside));
    client.say('two\n');
    await until('the flow went on', () => client.output.includes('<two>'));
    const newer = new Running('out', 'perl', '-MIO::Socket::INET', '-e', echoClient, webOutside);
    newer.say('three\n');
    await until('a new one is served', () => newer.output.includes('<three>'));
    assert.ok(await web.pings(server));
    for (const one of [newer, client, listener]) await one.end();
  });
  const echoServer = `$| = 1; my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die $!;
    print "listening\\n";
    while (my $c = $s->accept) { next if fork; while (<$c>) { chomp; print $c "<$_>\\n"; $c->flush } exit }`;
  const echoClient = `$| = 1; my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 8080) or die $!;
    if (fork) { while (<STDIN>) { print $s $_; $s->flush } } else { while (<$s>) { print } }`;

  test('a host that comes back leads only by a new order, and lets its addresses go', async () => {
    const g1 = await TestHost.open('g1');
    hosts = { ...hosts, g1 };
    beat(g1);
    const { lapsed } = (await lead(g1, 'g2', true).outcome) as { lapsed: boolean };
    assert.ok(lapsed, 'the permit of the process before has run out');
    assert.ok(await answers(webOutside), 'the one that leads is disturbed');
    vpc = vpc.with([g1, hosts.g2, hosts.w3]);
    await vpc.change('gateway', { default: scene.element(2) });
    assert.not.match(await g1.exec('ip', '-n', vpc.gateway, 'addr', 'show', 'dev', 'ext0'), /inet |,UP/);
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
    assert.ok(await answers(webOutside));
  });

  test('the permit ends at once when the host is not to lead any more', async () => {
    const { g2 } = hosts;
    const watch = lead(g2, 'g1');
    await until('it answers', () => answers(webOutside));
    g2.abort(watch.id);
    unasked(watch);
    await g2.ask('checkGateway', askOf(g2, 'g1', false));
    assert.not.ok(await answers(webOutside));
  });

  test('a host that does not hear the other one keeps the permit for a moment only', async () => {
    const { g1, g2 } = hosts;
    await until('the uplink is well', () => g2.ask('checkGateway', askOf(g2, 'g1', true)).then(() => true));
    const watch = lead(g2, 'g1');
    await until('it answers', () => answers(webOutside));
    await g1.exec('ip', 'link', 'set', 'und0', 'down');
    const { heard, lapsed } = (await watch.outcome) as { heard: boolean; lapsed: boolean };
    assert.equal([heard, lapsed], [false, false]);
    await until('it is silent', async () => !(await answers(webOutside)));
    await g1.exec('ip', 'link', 'set', 'und0', 'up');
    const again = g2.begin('watchGateway', {
      ...askOf(g2, 'g1', true),
      peer: { peer: scene.factsOf('g1'), heard: false },
    });
    assert.equal(await again.outcome, { heard: true, lapsed: false });
  });

  /** What the segment of a host is told that it has lost. */
  const loss = async (host: TestHost): Promise<unknown> => {
    const asked = { segment: vpc.ask(host.name).segment, sections: ['gateway'] };
    return ((await host.begin('watchSegment', asked).outcome) as { reason: unknown }).reason;
  };

  test('a host that stands by and loses its uplink leads its guests to the other one, and heals with it', async () => {
    const { g1, g2 } = hosts;
    unasked(lead(g2, 'g1'));
    await until('the other one answers', () => answers(webOutside));
    const beside = await vpc.bind(g1, 12);
    await until('a guest there gets out', () => beside.pings(server));
    const told = loss(g1);
    await g1.exec('ip', 'link', 'delete', 'ext1');
    assert.is(await told, 'outside_gone');
    const { failed } = await g1.ask<SegmentOutcome>('realizeSegment', vpc.ask('g1'));
    assert.equal([Object.keys(failed), failed['gateway']?.code], [['gateway'], 'uplink_missing']);
    assert.ok(await beside.pings(server), 'a guest of this host gets out by the other one');
    await scene.plugUplink('g1');
    await vpc.realize([g1]);
    assert.equal(await vpc.drift(g1), {});
  });

  test('a host that leads and loses its uplink hands over, and leads again once it has one', async () => {
    const { g1, g2, w3 } = hosts;
    const told = loss(g2);
    await g2.exec('ip', 'link', 'delete', 'ext1');
    assert.is(await told, 'outside_gone');
    assert.not.ok(await answers(webOutside));
    await vpc.tell('gateway', { default: scene.element(1) }, {}, [g1, w3]);
    const change = { section: 'gateway', to: 1_000, put: { default: scene.element(1) }, removed: {} };
    const { segment } = vpc.ask('g2');
    const outcome = await g2.ask<SegmentOutcome>('changeSegment', { segment, changes: [change] });
    assert.is(outcome.failed['gateway']?.code, 'uplink_missing');
    const inside = (words: string) => g2.inside(vpc.namespace, ...words.split(' '));
    assert.match(await inside('ip route show default'), 'via 169.254.64.1 dev vx0', 'it leads to the other one');
    unasked(lead(g1, 'g2'));
    await until('the other one answers', () => answers(webOutside));
    await scene.plugUplink('g2');
    await vpc.change('gateway', { default: scene.element(2) });
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
    await until(
      'it is silent without the permit, on its new uplink as well',
      async () => !(await resolves(webOutside)),
    );
    unasked(lead(g2, 'g1'));
    await until('it answers', () => answers(webOutside));
  });

  test('an uplink that is missing, down or too narrow is named', async () => {
    const { g2 } = hosts;
    const codeWith = (more: object): Promise<string> =>
      g2.ask('checkGateway', { ...askOf(g2, 'g1', false), uplink: { interface: 'ext1', mtu: 1_500, ...more } }).then(
        () => 'fine',
        (error: { record: { code: string } }) => error.record.code,
      );
    assert.is(await codeWith({}), 'fine');
    assert.is(await codeWith({ interface: 'nowhere' }), 'uplink_missing');
    assert.is(await codeWith({ mtu: 9_000 }), 'uplink_mtu');
    assert.is(await codeWith({ interface: 'x; reboot' }), 'spec_invalid');
    assert.is(await codeWith({ interface: web.spec.owner.uid }), 'spec_invalid');
    await g2.exec('ip', 'link', 'set', 'ext1', 'down');
    assert.is(await codeWith({}), 'uplink_down');
    await g2.exec('ip', 'link', 'set', 'ext1', 'up');
    for (const host of [g2, hosts.g1]) still(host);
  });
});

test.run();

/**
 * What goes through a gateway on the real kernel: sizes, errors, groups, and two VPCs of equal addresses behind one
 * external network. The gateway host is the only one, so no permit is needed.
 */
// needs: kernel
// test limit: 240 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, openGroup, openRule, run, until } from '../dataplane-for-tests.ts';
import { Running, type Guest } from './gateway-guests-for-tests.ts';
import * as scene from './gateway-scene-for-tests.ts';
import { outside, overlayMtu, server } from './gateway-scene-for-tests.ts';

const webOutside = '203.0.113.20';
const closedGroup = 'security-group/acme/closed';
const narrowMtu = 1_400;
/** IP and ICMP. */
const headers = 28;

inOwnNamespaces(import.meta.filename, () => {
  let hosts: Awaited<ReturnType<typeof scene.makeScene>>;
  let vpc: scene.TestVpc;
  let web: Guest, db: Guest;
  const single = (more: object = {}) => scene.element(1, { gateways: [scene.factsOf('g1')], ...more });
  const printed = (work: Promise<string>): Promise<string> =>
    work.catch((error: { stdout?: string; stderr?: string }) => `${error.stdout ?? ''}${error.stderr ?? ''}`);
  const groups = {
    [openGroup]: [openRule('ingress'), openRule('egress')],
    // In: only tcp/80; out: only to the server outside.
    [closedGroup]: [
      { ...openRule('ingress'), protocol: 'tcp', ports: { from: 80, to: 80 } },
      { ...openRule('egress'), remote: { cidr: `${server}/32` } },
    ] as const,
  };

  test.after(scene.closeScene);

  test('hosts, networks and guests are made', async () => {
    hosts = await scene.makeScene();
    const { g1, g2, w3 } = hosts;
    vpc = new scene.TestVpc('vpc/acme/main', 7701, [g1, g2, w3], { groups });
    await vpc.realize();
    web = await vpc.bind(w3, 11);
    db = await vpc.bind(g1, 12, { groups: [closedGroup] });
    await vpc.change('gateway', { default: single() });
    await vpc.change('external-addresses', { [webOutside]: { inside: web.address } });
  });

  test('a packet of the MTU passes both ways; one byte more is answered by the one that cannot carry it', async () => {
    const sized = (bytes: number) => ['ping', '-n', '-M', 'do', '-c', '1', '-W', '2', '-s', String(bytes - headers)];
    assert.match(await printed(outside(...sized(overlayMtu), webOutside)), / 1 received/);
    const inwards = await printed(outside(...sized(overlayMtu + 1), webOutside));
    assert.match(inwards, new RegExp(`From ${webOutside.replaceAll('.', '\\.')} .*Frag needed .*mtu = ${overlayMtu}`));
    await vpc.change('gateway', { default: single({ mtu: narrowMtu }) });
    assert.match(await printed(web.exec(...sized(narrowMtu), server)), / 1 received/);
    const outwards = await printed(web.exec(...sized(narrowMtu + 1), server));
    assert.match(outwards, new RegExp(`From 169\\.254\\.65\\.2 .*Frag needed .*mtu = ${narrowMtu}`));
    await vpc.change('gateway', { default: single() });
  });

  test('a TLS handshake of 16 KB crosses workers and the shared address, in segments that fit', async () => {
    const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', '/run/key', '-out', '/run/certificate', '-days', '2'];
    // Names make the certificate as long as the records of a handshake get.
    const names = Array.from({ length: 400 }, (_, at) => `DNS:a-name-that-is-rather-long-${at}.example`).join(',');
    await run('openssl', 'req', '-x509', '-subj', '/CN=server', '-addext', `subjectAltName=${names}`, ...key);
    const serving = new Running(
      'out',
      'openssl',
      's_server',
      '-accept',
      `${server}:443`,
      '-www',
      '-key',
      '/run/key',
      '-cert',
      '/run/certificate',
    );
    await until('the server listens', () => serving.output.includes('ACCEPT'));
    await outside('nft', 'add table ip seen');
    await outside('nft', 'add chain ip seen in { type filter hook input priority -400; }');
    await outside('nft', 'add rule ip seen in tcp flags syn tcp option maxseg size > 1410 counter');
    const told = await printed(web.exec('bash', '-c', `openssl s_client -connect ${server}:443 </dev/null`));
    assert.ok(Number(/SSL handshake has read (\d+) bytes/.exec(told)?.[1]) > 16_384, told.slice(-300));
    assert.match(await outside('nft', 'list', 'chain', 'ip', 'seen', 'in'), /packets 0/);
    // A guest that does not know how narrow the way is.
    await run('ip', '-n', web.namespace, 'link', 'set', 'eth0', 'mtu', '1500');
    await printed(web.exec('bash', '-c', `openssl s_client -connect ${server}:443 </dev/null`));
    assert.match(await outside('nft', 'list', 'chain', 'ip', 'seen', 'in'), /packets 0/, 'segments are not clamped');
    await run('ip', '-n', web.namespace, 'link', 'set', 'eth0', 'mtu', String(overlayMtu));
    await outside('nft', 'delete table ip seen');
    await serving.end();
  });

  test('who lets a packet live too short is told at which hop it died', async () => {
    const hop = async (ttl: number): Promise<string> =>
      /From (\S+) .*Time to live exceeded/i.exec(
        await printed(web.exec('ping', '-n', '-c', '1', '-W', '2', '-t', String(ttl), server)),
      )?.[1] ?? 'none';
    assert.equal([await hop(1), await hop(2), await hop(3)], ['10.77.1.1', '169.254.64.1', '169.254.65.2']);
    assert.ok(await web.pings(server, '-t', '4'));
    const inwards = await printed(outside('ping', '-n', '-c', '1', '-W', '2', '-t', '2', webOutside));
    assert.match(inwards, new RegExp(`From ${webOutside.replaceAll('.', '\\.')} .*Time to live exceeded`, 'i'));
  });

  test('security groups decide what leaves and what comes in, also through an external address', async () => {
    const dbOutside = '203.0.113.21';
    assert.ok(await db.pings(server), 'egress to the server is admitted');
    assert.not.ok(await db.pings(scene.upstream, '-W', '1'), 'egress to another address is not');
    await vpc.change('external-addresses', { [dbOutside]: { inside: db.address } });
    assert.ok(await db.pings(server));
    assert.not.ok(await db.pings(scene.upstream, '-W', '1'));
    assert.not.match(await printed(outside('ping', '-n', '-c', '1', '-W', '1', dbOutside)), / 1 received/);
    const connects = (port: number): Promise<string> =>
      printed(outside('timeout', '2', 'bash', '-c', `exec 3<>/dev/tcp/${dbOutside}/${port}`));
    // Nobody listens: an answer says that the packet has arrived.
    assert.match(await connects(80), /refused/i);
    assert.not.match(await connects(81), /refused/i);
    await vpc.change('external-addresses', {}, [dbOutside]);
  });

  test('two VPCs with the same networks leave through one external network, and are told apart', async () => {
    const { g1, g2, w3 } = hosts;
    const other = new scene.TestVpc('vpc/beta/main', 7702, [g1, g2, w3]);
    await other.realize();
    const equal = await other.bind(w3, 11);
    await other.change('gateway', { default: single({ snat: '203.0.113.10' }) });
    await other.change('external-addresses', { '203.0.113.30': { inside: equal.address } });
    assert.is(equal.address, web.address);
    assert.equal([await equal.pings(server), await web.pings(server)], [true, true]);
    const who = new Running(equal.namespace, 'perl', '-MIO::Socket::INET', '-e', named, 'beta');
    const own = new Running(web.namespace, 'perl', '-MIO::Socket::INET', '-e', named, 'acme');
    await until('both listen', () => who.output.includes('listening') && own.output.includes('listening'));
    const asked = (address: string) => outside('timeout', '3', 'bash', '-c', `cat </dev/tcp/${address}/7`);
    assert.equal([await asked('203.0.113.30'), await asked(webOutside)], ['beta\n', 'acme\n']);
    assert.ok(await equal.pings(webOutside), 'the other tenant is outside, and reached as such');
    for (const one of [who, own]) await one.end();
    await other.unbind(equal);
    await other.remove();
    assert.ok(await web.pings(server));
  });
  const named = `$| = 1; my $s = IO::Socket::INET->new(LocalPort => 7, Listen => 5, ReuseAddr => 1) or die $!;
    print "listening\\n"; while (my $c = $s->accept) { print $c "$ARGV[0]\\n"; close $c }`;

  test('an address moves to another port in one change, and its flows end', async () => {
    await vpc.change('external-addresses', { [webOutside]: { inside: db.address } });
    assert.not.match(await hosts.g1.inside(vpc.gateway, 'conntrack', '-L', '--orig-dst', webOutside), /dst=/);
    const connects = await printed(outside('timeout', '2', 'bash', '-c', `exec 3<>/dev/tcp/${webOutside}/80`));
    assert.match(connects, /refused/i);
    assert.not.match(await printed(outside('ping', '-n', '-c', '1', '-W', '1', webOutside)), / 1 received/);
  });
});

test.run();

/**
 * The way of a VPC out, on the real kernel: guests on a worker and on a gateway host reach a server behind the external
 * network and are reached from there, and nothing else passes. Packets and their captures are the judge.
 */
// needs: kernel
// test limit: 240 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, run } from '../dataplane-for-tests.ts';
import { gatewayIn } from './router-checks.ts';
import type { Guest } from './gateway-guests-for-tests.ts';
import * as scene from './gateway-scene-for-tests.ts';
import { outside, server, upstream } from './gateway-scene-for-tests.ts';

const snat = '203.0.113.9';
const [webOutside, dbOutside] = ['203.0.113.20', '203.0.113.21'];

test('a gateway with a bad field is refused before anything is made', () => {
  const good = scene.element(1);
  assert.ok(gatewayIn({ default: good }) !== undefined);
  assert.is(gatewayIn({}), undefined);
  const injected = 'x; flush ruleset';
  const bad: readonly object[] = [
    { network: `external-network/system/${injected}` },
    { network: 'vpc/acme/main' },
    { cidr: '203.0.113.1/24' },
    { cidr: `203.0.113.0/24 } ; ${injected}` },
    { upstream: '198.51.100.1' },
    { upstream: `203.0.113.1\nflush ruleset` },
    { interface: injected },
    { interface: '-all' },
    { interface: '../x' },
    { interface: 'a'.repeat(16) },
    { mtu: 100 },
    { mtu: '1500; reboot' },
    { gateways: [] },
    { gateways: [scene.factsOf('g1'), scene.factsOf('g1')] },
    { gateways: [{ ...scene.factsOf('g1'), underlay: injected }] },
    { active: 3 },
    { snat: '10.0.0.1' },
    { snat: upstream },
    { more: true },
  ];
  for (const more of bad)
    assert.throws(() => gatewayIn({ default: { ...good, ...more } }), /spec is invalid/, JSON.stringify(more));
  assert.throws(() => gatewayIn({ other: good }), /spec is invalid/);
});

inOwnNamespaces(import.meta.filename, () => {
  let hosts: Awaited<ReturnType<typeof scene.makeScene>>;
  let vpc: scene.TestVpc;
  /** On the worker, on the active gateway host, and on the standby. */
  let web: Guest, db: Guest, app: Guest;
  /** The only gateway: without a permit. */
  const single = scene.element(1, { gateways: [scene.factsOf('g1')] });

  test.after(scene.closeScene);

  test('hosts, networks and guests are made', async () => {
    hosts = await scene.makeScene();
    const { g1, g2, w3 } = hosts;
    vpc = new scene.TestVpc('vpc/acme/main', 7701, [g1, g2, w3]);
    await vpc.realize();
    web = await vpc.bind(w3, 11);
    db = await vpc.bind(g1, 12);
    app = await vpc.bind(g2, 13);
  });

  const answers = (to: string, ...more: string[]): Promise<boolean> =>
    outside('ping', '-n', '-c', '1', '-W', '1', ...more, to).then(
      () => true,
      () => false,
    );
  /** Source addresses that the server saw while `work` ran. */
  async function seenOutside(filter: string, work: () => Promise<unknown>): Promise<readonly string[]> {
    await outside('nft', `add table ip seen; add set ip seen from { type ipv4_addr; flags dynamic; }`);
    await outside('nft', 'add chain ip seen in { type filter hook prerouting priority -400; }');
    await outside('nft', `add rule ip seen in iifname "ext" ${filter} add @from { ip saddr }`);
    await work();
    const text = await outside('nft', 'list', 'set', 'ip', 'seen', 'from');
    await outside('nft', 'delete table ip seen');
    return (/elements = \{([^}]*)\}/.exec(text)?.[1] ?? '').split(',').flatMap((one) => one.trim() || []);
  }

  test('without a gateway nothing leaves, and a guest is told so', async () => {
    const told = await web
      .exec('ping', '-n', '-c', '1', '-W', '2', server)
      .catch((error: { stdout: string }) => error.stdout);
    assert.match(told, /Unreachable/);
  });

  test('guests of every host leave with the shared address, and are answered', async () => {
    await vpc.change('gateway', { default: single });
    const sources = await seenOutside('icmp type echo-request', async () => {
      for (const guest of [web, db, app]) assert.ok(await guest.pings(server), guest.spec.port);
    });
    assert.equal(sources, [snat]);
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
    assert.not.ok(await answers(snat), 'the shared address answers for itself');
  });

  test('an external address leads in and out with every port kept, wherever its port is', async () => {
    await vpc.change('external-addresses', {
      [webOutside]: { inside: web.address },
      [dbOutside]: { inside: db.address },
    });
    assert.equal([await answers(webOutside), await answers(dbOutside)], [true, true]);
    const sources = await seenOutside('udp sport 4321', async () => {
      await web.exec('perl', '-MSocket', '-e', udp, '4321', server);
    });
    assert.equal(sources, [webOutside]);
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
  });
  const udp =
    'socket(S, PF_INET, SOCK_DGRAM, 17); bind(S, pack_sockaddr_in($ARGV[0], INADDR_ANY)); ' +
    'send(S, "x", 0, pack_sockaddr_in(53, inet_aton($ARGV[1])));';

  test('guests reach each other, and themselves, by their external addresses', async () => {
    assert.ok(await db.pings(webOutside), 'another one, which is elsewhere');
    assert.ok(await web.pings(dbOutside));
    assert.ok(await web.pings(webOutside), 'its own');
    assert.ok(await app.pings(webOutside), 'from a guest without one');
  });

  test('an address that nobody has is not answered for, and nothing that is not translated passes', async () => {
    assert.not.ok(await answers('203.0.113.77'));
    assert.not.match(await outside('ip', 'neigh', 'show', '203.0.113.77'), /lladdr/);
    // The router outside is told that the VPC's own addresses are behind the gateway.
    await outside('ip', 'route', 'add', '10.77.1.0/24', 'via', snat, 'dev', 'ext', 'onlink');
    assert.not.ok(await answers(web.address));
    await outside('ip', 'route', 'delete', '10.77.1.0/24');
    assert.not.ok(await answers('169.254.65.2'));
  });

  test('a sender that says it is inside does not come in from outside', async () => {
    for (const statement of [
      'add table ip seen',
      'add chain ip seen in { type filter hook prerouting priority -400; }',
      `add rule ip seen in ip daddr ${web.address} icmp type echo-request counter`,
    ])
      await hosts.w3.inside(vpc.namespace, 'nft', statement);
    const passed = async (from: string): Promise<number> => {
      const counted = async (): Promise<number> =>
        Number(
          /packets (\d+)/.exec(await hosts.w3.inside(vpc.namespace, 'nft', 'list', 'chain', 'ip', 'seen', 'in'))?.[1],
        );
      const before = await counted();
      await outside('ip', 'addr', 'add', `${from}/32`, 'dev', 'lo');
      await answers(webOutside, '-c', '2', '-i', '0.2', '-I', from);
      await outside('ip', 'addr', 'delete', `${from}/32`, 'dev', 'lo');
      return (await counted()) - before;
    };
    assert.is(await passed('192.0.2.200'), 2, 'a stranger');
    for (const from of [db.address, '10.77.1.99', '169.254.64.1', '169.254.65.2', '169.254.1.1'])
      assert.is(await passed(from), 0, from);
    await hosts.w3.inside(vpc.namespace, 'nft', 'delete table ip seen');
  });

  test('without a shared address only those with an external one leave, and the others are told', async () => {
    await vpc.change('gateway', { default: { ...single, snat: null } });
    assert.ok(await web.pings(server));
    const told = await app
      .exec('ping', '-n', '-c', '1', '-W', '2', server)
      .catch((error: { stdout: string }) => error.stdout);
    assert.match(told, /filtered|prohibited/i);
    await vpc.change('gateway', { default: single });
    assert.ok(await app.pings(server));
  });

  test('what is changed by hand shows as drift, and the whole sections set it right', async () => {
    const { g1, w3 } = hosts;
    const gone: readonly (readonly [host: scene.TestHost, section: string, words: readonly string[]])[] = [
      [g1, 'gateway', ['-n', vpc.gateway, 'link', 'set', 'ext0', 'down']],
      [g1, 'gateway', ['-n', vpc.gateway, 'link', 'delete', 'ext0']],
      [g1, 'gateway', ['-n', vpc.gateway, 'link', 'set', 'ext0', 'mtu', '1400']],
      [g1, 'gateway', ['-n', vpc.gateway, 'link', 'set', 'ext0', 'address', '06:00:00:00:00:01']],
      [g1, 'external-addresses', ['-n', vpc.gateway, 'addr', 'delete', `${webOutside}/32`, 'dev', 'ext0']],
      [g1, 'gateway', ['-n', vpc.gateway, 'addr', 'delete', `${snat}/32`, 'dev', 'ext0']],
      [g1, 'gateway', ['-n', vpc.gateway, 'addr', 'add', '203.0.113.66/32', 'dev', 'ext0']],
      [g1, 'gateway', ['-n', vpc.gateway, 'route', 'delete', 'default', 'table', '100', 'via', upstream]],
      [g1, 'gateway', ['-n', vpc.gateway, 'rule', 'delete', 'pref', '100']],
      [g1, 'gateway', ['-n', vpc.gateway, 'route', 'delete', 'default']],
      [g1, 'gateway', ['-n', vpc.namespace, 'link', 'delete', 'gw0']],
      [g1, 'gateway', ['-n', vpc.namespace, 'route', 'delete', 'default']],
      [w3, 'gateway', ['-n', vpc.namespace, 'route', 'delete', 'default']],
      [g1, 'gateway', ['netns', 'delete', vpc.gateway]],
    ];
    for (const [host, section, words] of gone) {
      await host.exec('ip', ...words);
      assert.ok(((await vpc.drift(host))[section]?.length ?? 0) > 0, `${words.join(' ')}: no drift`);
      await vpc.realize([host]);
      assert.equal(await vpc.drift(host), {}, words.join(' '));
      assert.ok(await answers(webOutside), words.join(' '));
    }
    const nft: readonly (readonly [section: string, namespace: string, statement: string])[] = [
      ['gateway', vpc.gateway, 'flush chain ip translation forward'],
      ['gateway', vpc.gateway, 'add rule ip translation forward accept'],
      ['gateway', vpc.gateway, 'add chain ip translation forward { policy accept; }'],
      ['gateway', vpc.gateway, 'flush chain ip translation leaving'],
      ['gateway', vpc.gateway, 'delete table ip translation'],
      ['external-addresses', vpc.gateway, `delete element ip translation inside { ${webOutside} }`],
      ['external-addresses', vpc.gateway, `delete element ip translation outside { ${web.address} }`],
      ['gateway', vpc.namespace, 'delete element inet sg transit { "gw0" }'],
    ];
    for (const [section, namespace, statement] of nft) {
      await g1.inside(namespace, 'nft', statement);
      assert.ok(((await vpc.drift(g1))[section]?.length ?? 0) > 0, `${statement}: no drift`);
      await vpc.realize([g1]);
      assert.equal(await vpc.drift(g1), {}, statement);
      assert.ok(await answers(webOutside), statement);
    }
    await g1.inside(vpc.namespace, 'sysctl', '-q', '-w', 'net.ipv4.conf.gw0.rp_filter=0');
    assert.match(JSON.stringify(await vpc.drift(g1)), /senders of the VPC/);
    await vpc.realize([g1]);
    assert.equal(await vpc.drift(g1), {});
  });

  test('an uplink that is not there fails this section alone, and by its name', async () => {
    const wrong = { default: { ...single, interface: 'nowhere' } };
    const segment = { owner: vpc.owner('g1'), vpc: vpc.id };
    const changes = [{ section: 'gateway', to: 999, put: wrong, removed: {} }];
    const { failed } = await hosts.g1.ask<{ failed: Record<string, { code: string }> }>('changeSegment', {
      segment,
      changes,
    });
    assert.equal([Object.keys(failed), failed['gateway']?.code], [['gateway'], 'uplink_missing']);
    await vpc.realize([hosts.g1]);
    assert.ok(await answers(webOutside));
  });

  test('a lost gateway namespace ends the watch of the segment', async () => {
    const watch = hosts.g1.ask<{ section: string; reason: string }>('watchSegment', {
      segment: { owner: vpc.owner('g1'), vpc: vpc.id },
      sections: ['gateway'],
    });
    await hosts.g1.exec('ip', 'netns', 'delete', vpc.gateway);
    const { section, reason } = await watch;
    assert.equal([section, reason], ['gateway', 'gateway_gone']);
    await vpc.realize([hosts.g1]);
  });

  test('what is taken away leaves nothing: addresses, gateway, VPC', async () => {
    await vpc.change('external-addresses', {}, [webOutside]);
    assert.equal([await answers(webOutside), await answers(dbOutside)], [false, true]);
    assert.ok(await web.pings(server), 'it leaves with the shared address now');
    await vpc.change('external-addresses', {}, [dbOutside]);
    await vpc.change('gateway', {}, ['default']);
    for (const host of Object.values(hosts)) {
      assert.equal(await vpc.drift(host), {}, host.name);
      assert.not.match(await host.exec('ip', 'netns', 'list'), vpc.gateway);
      assert.not.match(await host.exec('ip', '-n', vpc.namespace, 'route'), /default/);
      assert.not.match(await host.exec('ip', '-n', vpc.namespace, '-o', 'link'), /gw0/);
    }
    // A VPC that goes as a whole takes its gateway along.
    await vpc.change('gateway', { default: single });
    for (const guest of [web, db, app]) await vpc.unbind(guest);
    await vpc.remove();
    for (const host of Object.values(hosts)) {
      assert.equal(await host.ask('residue', {}), [], host.name);
      assert.not.match(await host.exec('nft', 'list', 'tables'), /gateway/);
    }
  });

  test('a gateway namespace without its VPC is swept', async () => {
    const { g1 } = hosts;
    await vpc.realize([g1]);
    await vpc.tell('gateway', { default: single }, {}, [g1]);
    await g1.exec('ip', 'netns', 'delete', vpc.namespace);
    const { name } = { name: vpc.gateway };
    const found = await g1.ask<readonly { name: string }[]>('residue', {});
    assert.ok(found.some((one) => one.name === name));
    await g1.ask('sweepAll', {});
    assert.equal(
      (await g1.ask<readonly { name: string }[]>('residue', {})).filter((one) => one.name === name),
      [],
    );
    assert.not.match(await run('ip', '-n', 'g1', '-o', 'link'), /macvlan/);
  });
});

test.run();

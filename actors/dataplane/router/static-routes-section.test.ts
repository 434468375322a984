/** Static routes on the real kernel: over an appliance that moves, to nowhere, and back after somebody's hand. */
// needs: kernel
// test limit: 240 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, run } from '../dataplane-for-tests.ts';
import type { Guest } from './gateway-guests-for-tests.ts';
import * as scene from './gateway-scene-for-tests.ts';
import { staticRoutesIn } from './router-checks.ts';

const remote = '172.30.0.0/16';
const inRemote = '172.30.5.5';

test('a route with a bad destination or next hop is refused before anything is made', () => {
  assert.is(staticRoutesIn({ [remote]: { via: '10.77.1.11' }, '0.0.0.0/0': { via: null } }).size, 2);
  const bad: readonly (readonly [destination: string, element: unknown])[] = [
    ['172.30.0.1/16', { via: null }],
    ['172.30.0.0', { via: null }],
    ['172.30.0.0/16; link delete vx0', { via: null }],
    ['172.30.0.0/16\nlink delete vx0', { via: null }],
    ['169.254.0.0/16', { via: null }],
    ['169.254.64.0/24', { via: '10.77.1.11' }],
    [remote, { via: '10.77.1.11 dev lo' }],
    [remote, { via: '010.77.1.11' }],
    [remote, { via: 7 }],
    [remote, {}],
    [remote, { via: null, more: 1 }],
  ];
  for (const [destination, element] of bad)
    assert.throws(
      () => staticRoutesIn({ [destination]: element }),
      /spec is invalid/,
      JSON.stringify([destination, element]),
    );
});

inOwnNamespaces(import.meta.filename, () => {
  let hosts: Awaited<ReturnType<typeof scene.makeScene>>;
  let vpc: scene.TestVpc;
  let web: Guest, near: Guest, appliance: Guest;

  /** Whether a packet to behind the appliance arrives at it. */
  const arrives = async (from: Guest): Promise<boolean> => {
    const inside = (...words: string[]) => appliance.exec('nft', ...words);
    await inside('add table ip seen');
    await inside('add chain ip seen in { type filter hook prerouting priority -400; }');
    await inside(`add rule ip seen in ip saddr ${from.address} ip daddr ${inRemote} counter`);
    await from.pings(inRemote, '-W', '1');
    const text = await inside('list chain ip seen in');
    await inside('delete table ip seen');
    return !text.includes('packets 0');
  };
  const route = (host: scene.TestHost, to: string): Promise<string> =>
    host.exec('ip', '-n', vpc.namespace, 'route', 'show', to);

  test.after(scene.closeScene);

  test('a route over an appliance leads there from its own host and from others', async () => {
    hosts = await scene.makeScene();
    const { g1, g2, w3 } = hosts;
    vpc = new scene.TestVpc('vpc/acme/main', 7701, [g1, g2, w3]);
    await vpc.realize();
    web = await vpc.bind(w3, 11);
    await vpc.change('static-routes', { [remote]: { via: '10.77.1.12' } });
    assert.match(await route(w3, remote), /^unreachable/, 'nobody has the next hop yet');
    near = await vpc.bind(g1, 13);
    appliance = await vpc.bind(g1, 12);
    assert.equal([await arrives(web), await arrives(near)], [true, true]);
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
  });

  test('it follows the appliance to another host', async () => {
    await vpc.unbind(appliance);
    for (const host of Object.values(hosts)) assert.match(await route(host, remote), /^unreachable/, host.name);
    appliance = await vpc.bind(hosts.g2, 12);
    assert.equal([await arrives(web), await arrives(near)], [true, true]);
    for (const host of Object.values(hosts)) assert.equal(await vpc.drift(host), {}, host.name);
  });

  test('another process of the worker follows it, too', async () => {
    await hosts.w3.kill();
    const w3 = await scene.TestHost.open('w3');
    hosts = { ...hosts, w3 };
    vpc = vpc.with(Object.values(hosts));
    await vpc.unbind(appliance);
    assert.match(await route(w3, remote), /^unreachable/);
    appliance = await vpc.bind(hosts.g1, 12);
    assert.match(await route(w3, remote), /via 169\.254\.64\.1 dev vx0/);
    assert.ok(await arrives(near));
  });

  test('a route to nowhere takes what a wider one would lead', async () => {
    await vpc.change('static-routes', { '172.30.5.0/24': { via: null } });
    assert.match(await route(hosts.w3, '172.30.5.0/24'), /^blackhole/);
    assert.not.ok(await arrives(web));
    await vpc.change('static-routes', {}, ['172.30.5.0/24']);
    assert.ok(await arrives(near));
  });

  test('another next hop replaces the first, and a change by hand is drift and set right', async () => {
    await vpc.change('static-routes', { [remote]: { via: near.address } });
    assert.not.ok(await arrives(web));
    assert.is((await route(hosts.w3, remote)).trim().split('\n').length, 1);
    await vpc.change('static-routes', { [remote]: { via: appliance.address } });
    const { w3 } = hosts;
    for (const words of [
      ['delete', remote],
      ['add', 'blackhole', '172.31.0.0/16', 'proto', '80', 'metric', '1'],
    ]) {
      await run('nsenter', '--net=/run/netns/w3', '--mount=/run/w3.mnt', 'ip', '-n', vpc.namespace, 'route', ...words);
      if (words[0] === 'delete') assert.match(JSON.stringify(await vpc.drift(w3)), /not as wanted/);
      await vpc.realize([w3]);
      assert.equal(await vpc.drift(w3), {});
    }
    assert.not.match(await route(w3, '172.31.0.0/16'), /blackhole/);
    await vpc.change('static-routes', {}, [remote]);
    for (const host of Object.values(hosts)) assert.is(await route(host, remote), '', host.name);
  });
});

test.run();

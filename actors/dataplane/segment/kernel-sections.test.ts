/**
 * Sections of a segment on the real kernel: a network changes under a wired port that notices nothing, an increment is
 * one element, and a change that restarts dnsmasq is no loss to the watch.
 */
// needs: kernel
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { FrameGuest, inOwnNamespaces, openForTests, nextCall, realized, run, until } from '../dataplane-for-tests.ts';
import { dnsmasqOf, segmentAsk, tapSpec, testNetwork, testOptions } from '../dataplane-for-tests.ts';
import type { TestProof } from '../dataplane-for-tests.ts';
import { foldersOf, type DataplaneSite } from '../dataplane-site.ts';
import { ObjectLocks } from '../object-locks.ts';
import { watchForLoss } from './segment-watch.ts';

inOwnNamespaces(import.meta.filename, () => {
  const { opened, folder } = openForTests();
  const { segment, sections } = segmentAsk();
  let marks = 0;

  const change = async (section: string, to: number, put: Elements, removed: Elements = {}) =>
    (await opened).changeSegment({ segment, changes: [{ section, to, put, removed }] }, nextCall());

  /** What the kernel reports of the namespace while `work` runs: a line for each object made, changed or deleted. */
  async function eventsOf(namespace: string, work: () => Promise<unknown>): Promise<readonly string[]> {
    const monitor = spawn('ip', ['-n', namespace, '-o', 'monitor', 'link', 'address', 'route', 'neigh']);
    let text = '';
    monitor.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    // Once it reports a mark it has reported whatever was before.
    const reported = async (what: string): Promise<void> => {
      const had = text.length;
      await until(what, async () => {
        await run('ip', '-n', namespace, 'route', 'replace', 'blackhole', `203.0.113.${(marks += 1)}`);
        return text.slice(had).includes('203.0.113.');
      });
    };
    await reported('the monitor listens');
    text = '';
    await work();
    await reported('the monitor has caught up');
    monitor.kill();
    return text.split('\n').filter((line) => line !== '' && !line.includes('203.0.113.'));
  }

  test('DHCP options and a subnet change under a wired port, which keeps its tap, lease and flows', async () => {
    const dp = await opened;
    const before = await realized(dp);
    const tap = tapSpec();
    await dp.createTap(tap, nextCall());
    const wired = await dp.wireTap(tap, nextCall());
    const guest = new FrameGuest(before.namespace, wired.tap, tap.mac);
    const ended = new AbortController();
    const watch = dp.watchSegment({ segment, sections: Object.keys(sections) }, nextCall({}, ended.signal));
    // Its end is awaited below; when an assertion fails before, it ends with the test.
    watch.catch(() => {});
    try {
      assert.equal((await guest.ask({ do: 'dhcp' }))['dns'], ['9.9.9.9']);
      const network = testNetwork({
        // The kernel prints neighbours as one range where it can.
        subnets: [
          ...testNetwork().subnets,
          { name: 'b', cidr: '10.78.1.0/24', gateway: '10.78.1.1' },
          { name: 'c', cidr: '10.78.2.0/24', gateway: '10.78.2.1' },
        ],
        dhcp: { ...testNetwork().dhcp, dns: ['1.1.1.1'], leaseSeconds: 600 },
      });
      let changed: unknown;
      const pings = guest.ask({ do: 'ping', to: '10.77.1.1', count: 10, timeoutMs: 2000 });
      const events = await eventsOf(before.namespace, async () => {
        changed = await change('networks', 2, { [network.network]: network });
      });
      assert.equal(changed, { proven: { networks: 2 }, failed: {} });
      assert.is((await pings)['received'], 10, 'a packet was lost');
      assert.equal(
        events.filter((line) => line.includes(wired.tap) || /Deleted/.test(line)),
        [],
        'something of the port was touched',
      );
      assert.ok(events.some((line) => line.includes('10.78.1.1/24')));

      const after = await dp.readSegment(segmentAsk({ networks: [network] }), nextCall());
      assert.equal(after.drift, {});
      const proof = after.proof as unknown as TestProof;
      const dnsmasqPid = dnsmasqOf(proof);
      const bridge = before.bridges[network.network];
      assert.equal(proof.bridges, { [network.network]: { ...bridge, dnsmasqPid } }, 'another bridge');
      assert.is.not(dnsmasqPid, dnsmasqOf(before), 'dnsmasq cannot know the options');
      assert.equal((await dp.readTap(tap, nextCall())).drift, []);
      assert.is((await dp.wireTap(tap, nextCall())).ifindex, wired.ifindex);
      const renewed = await guest.ask({ do: 'dhcp' });
      assert.equal([renewed['address'], renewed['dns'], renewed['leaseSeconds']], ['10.77.1.11', ['1.1.1.1'], 600]);

      // The added subnet serves its first port.
      const added = tapSpec(12, { address: '10.78.1.12', gateway: '10.78.1.1' });
      await dp.createTap(added, nextCall());
      const second = new FrameGuest(before.namespace, (await dp.wireTap(added, nextCall())).tap, added.mac);
      try {
        const lease = await second.ask({ do: 'dhcp' });
        assert.equal([lease['address'], lease['router']], ['10.78.1.12', '10.78.1.1'], JSON.stringify(lease));
        const across = await second.ask({ do: 'ping', to: '10.77.1.11', count: 1, timeoutMs: 2000 });
        assert.is(across['received'], 1, 'the network lets its own subnets in');
      } finally {
        await second.close();
      }

      // The watch has seen the old dnsmasq go and took it for no loss; the new one it misses.
      const early = await Promise.race([watch, pause(1200)]);
      assert.is(early, undefined);
      process.kill(dnsmasqPid, 'SIGKILL');
      const { section, reason } = await watch;
      assert.equal([section, reason], ['networks', 'dnsmasq_gone']);
    } finally {
      ended.abort(new Error('the test has ended'));
      await guest.close();
    }
  });

  test('what is missing while the segment is being changed is looked at again afterwards', async () => {
    const dp = await opened;
    const before = await realized(dp);
    const { namespace } = before;
    const site = { folders: foldersOf(testOptions(folder)), locks: new ObjectLocks() } as DataplaneSite;
    const ended = new AbortController();
    let changes = 0;
    const watch = watchForLoss({ site, namespace, segment }, ['networks'], ended.signal, async (look) => {
      changes += 1;
      await realized(dp);
      return look();
    });
    process.kill(dnsmasqOf(before), 'SIGKILL');
    await until('it has looked twice', () => changes > 0);
    assert.is(await Promise.race([watch, pause(700)]), undefined);
    ended.abort(new Error('the test has ended'));
    await watch.then(
      () => assert.unreachable(),
      () => {},
    );
  });

  test('an increment of one route is one change in the kernel, among a thousand', async () => {
    const dp = await opened;
    const routes = [...Array(1_000).keys()].map((n) => ({ address: `10.99.${n >> 8}.${n & 255}`, host: 2 }));
    const peers = [{ name: 'w2', index: 2, underlay: '127.0.0.2', underlayMtu: 1500 }];
    const { namespace } = await realized(dp, segmentAsk({ peers, routes }));
    const route = { address: '10.99.200.1', host: 2 };
    const put = await eventsOf(namespace, () => change('routes', 2, { [route.address]: route }));
    assert.is(put.length, 1, put.join('\n'));
    assert.match(put[0] ?? '', /^10\.99\.200\.1 via 169\.254\.64\.2 dev vx0/);
    const moved = { ...route, host: 3 };
    assert.is((await eventsOf(namespace, () => change('routes', 3, { [route.address]: moved }))).length, 1);
    const gone = await eventsOf(namespace, () => change('routes', 4, {}, { [route.address]: moved }));
    assert.equal([gone.length, gone[0]?.startsWith('Deleted 10.99.200.1 ')], [1, true]);
    // What leads elsewhere by now is not the one to remove.
    const other = await eventsOf(namespace, () =>
      change('routes', 5, {}, { '10.99.0.1': { address: '10.99.0.1', host: 3 } }),
    );
    assert.equal(other, []);
  });

  test('a host more is a neighbour and an entry, a narrower one a smaller MTU too', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const peer = { name: 'w2', index: 2, underlay: '127.0.0.2', underlayMtu: 1460 };
    const events = await eventsOf(namespace, () => change('overlay', 2, { 'peer/w2': peer }));
    assert.equal(
      [events.length, events.every((line) => line.includes('02:00:5f:00:00:02'))],
      [2, true],
      events.join('\n'),
    );
    assert.equal(await change('overlay', 3, { mtu: 1410 }), { proven: { overlay: 3 }, failed: {} });
    assert.match(await run('ip', '-n', namespace, 'link', 'show', 'vx0'), /mtu 1410/);
    // A network that does not fit any more fails by itself; the section below it stands.
    const wide = testNetwork({ mtu: 1420 });
    const { proven, failed } = await change('networks', 2, { [wide.network]: wide });
    assert.equal([proven, failed['networks']?.code], [{}, 'mtu_too_large']);
    assert.equal(await change('overlay', 4, { mtu: 1450 }, { 'peer/w2': peer }), {
      proven: { overlay: 4 },
      failed: {},
    });
    assert.not.match(await run('ip', '-n', namespace, 'neigh', 'show', 'dev', 'vx0'), /169/);
  });

  test('a network comes and goes beside one that stays', async () => {
    const dp = await opened;
    const { bridges } = await realized(dp);
    const more = testNetwork({
      network: 'network/acme/more',
      subnets: [{ name: 'a', cidr: '10.79.1.0/24', gateway: '10.79.1.1' }],
    });
    assert.equal(await change('networks', 2, { [more.network]: more }), { proven: { networks: 2 }, failed: {} });
    const both = await dp.readSegment(segmentAsk({ networks: [testNetwork(), more] }), nextCall());
    assert.equal(both.drift, {});
    assert.equal(await change('networks', 3, {}, { [more.network]: more }), { proven: { networks: 3 }, failed: {} });
    const one = await dp.readSegment(segmentAsk(), nextCall());
    assert.equal([one.drift, one.proof['bridges']], [{}, bridges]);
  });
});

test.run();

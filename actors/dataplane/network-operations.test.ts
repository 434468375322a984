/**
 * Segments and taps on the real kernel: proofs, traffic of a guest, faults, repeated calls, removal without residue.
 */
// needs: kernel
// test limit: 100 s
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  FrameGuest,
  codeIn,
  dnsmasqOf,
  codeOf,
  inOwnNamespaces,
  openForTests,
  nextCall,
  ownerOf,
  run,
  realized,
  segmentAsk,
  tapSpec,
  testNetwork,
  testOptions,
  until,
} from './dataplane-for-tests.ts';
import { createDataplane } from './linux-dataplane.ts';

inOwnNamespaces(import.meta.filename, () => {
  const { opened, folder } = openForTests();
  const ask = segmentAsk();
  const inside = (namespace: string, ...words: string[]): Promise<string> =>
    run('nsenter', `--net=/run/netns/${namespace}`, ...words);

  test('the proof of a segment is read from the kernel, and ensuring the segment again changes nothing', async () => {
    const dp = await opened;
    const proof = await realized(dp);
    assert.is(proof.bridges['network/acme/front']?.mtu, 1400);
    assert.ok(proof.vxlanIfindex > 0 && dnsmasqOf(proof) > 1);
    assert.is((await inside(proof.namespace, 'cat', '/proc/sys/net/netfilter/nf_conntrack_tcp_loose')).trim(), '0');
    const user = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${dnsmasqOf(proof)}/status`, 'utf8'))?.[1];
    assert.is.not(user, '0', 'dnsmasq runs as root');
    const open = await run('ls', '-l', `/proc/${dnsmasqOf(proof)}/fd`);
    assert.not.match(open, 'inotify', 'a host has 128 inotify instances, fewer than networks');
    assert.equal(await realized(dp), proof);
    assert.equal((await dp.readSegment(ask, nextCall())).drift, {});
  });

  test('peers and routes follow the spec, and a removal deletes only a route to the named host', async () => {
    const dp = await opened;
    const peer = { name: 'w2', index: 2, underlay: '127.0.0.2', underlayMtu: 1500 };
    const { namespace } = await realized(
      dp,
      segmentAsk({ peers: [peer], routes: [{ address: '10.77.1.90', host: 2 }] }),
    );
    assert.match(
      await inside(namespace, 'ip', 'route', 'show', 'dev', 'vx0'),
      /10\.77\.1\.90 via 169\.254\.64\.2 metric 512 onlink/,
    );
    assert.match(
      await inside(namespace, 'bridge', 'fdb', 'show', 'dev', 'vx0'),
      /02:00:5f:00:00:02 dst 127\.0\.0\.2 .*permanent/,
    );
    const change = {
      section: 'routes',
      to: 2,
      put: { '10.77.1.91': { address: '10.77.1.91', host: 2 } },
      removed: { '10.77.1.90': { address: '10.77.1.90', host: 3 } },
    };
    const changed = await dp.changeSegment({ segment: ask.segment, changes: [change] }, nextCall());
    assert.equal(changed, { proven: { routes: 2 }, failed: {} });
    assert.match(await inside(namespace, 'ip', 'route', 'show', 'dev', 'vx0'), /1\.90 via[^]*1\.91 via/);
    await realized(dp);
    assert.not.match(await inside(namespace, 'ip', 'route', 'show', 'dev', 'vx0'), /via/);
    assert.not.match(await inside(namespace, 'ip', 'neigh', 'show', 'dev', 'vx0'), /169/);
  });

  test('a tap is wired with proof; its guest gets a lease, reaches the gateway and cannot spoof', async () => {
    const dp = await opened;
    const tap = tapSpec();
    assert.is((await dp.createTap(tap, nextCall())).place, 'host');
    const proof = await dp.wireTap(tap, nextCall());
    assert.is(proof.dhcpHost, '02:00:00:00:77:0b,10.77.1.11,web-11.');
    assert.is(proof.mtu, 1400);
    const { namespace } = await realized(dp);
    const guest = new FrameGuest(namespace, proof.tap, tap.mac);
    try {
      const lease = await guest.ask({ do: 'dhcp' });
      assert.is(lease['address'], '10.77.1.11', JSON.stringify(lease));
      assert.is(lease['mtu'], 1400);
      assert.is(lease['router'], '10.77.1.1');
      assert.ok((await dp.readTap(tap, nextCall())).carrier);
      assert.is(
        (await dp.createTap(tap, nextCall())).place,
        'segment',
        'a tap that a process has open is not replaced',
      );
      const ping = await guest.ask({ do: 'ping', to: '10.77.1.1', count: 1, timeoutMs: 2000 });
      assert.is(ping['received'], 1, JSON.stringify(ping));
      await guest.ask({ do: 'configure', address: '10.77.1.12', prefix: 24, gateway: '10.77.1.1' });
      const spoofed = await guest.ask({ do: 'ping', to: '10.77.1.1', count: 1, timeoutMs: 500 });
      assert.is.not(spoofed['received'], 1, 'a spoofed address got an answer');
      assert.equal((await dp.readTap(tap, nextCall())).drift, []);
    } finally {
      await guest.close();
    }
  });

  test('the watch reports a killed dnsmasq, and ensuring the segment serves the port again', async () => {
    const dp = await opened;
    const before = await realized(dp);
    const { namespace } = before;
    const watch = dp.watchSegment({ segment: ask.segment, sections: Object.keys(ask.sections) }, nextCall());
    process.kill(dnsmasqOf(before), 'SIGKILL');
    const { reason, key } = await watch;
    assert.equal([reason, key], ['dnsmasq_gone', tapSpec().network]);
    assert.is.not(dnsmasqOf(await realized(dp)), dnsmasqOf(before));
    const guest = new FrameGuest(namespace, (await dp.readTap(tapSpec(), nextCall())).proof?.tap ?? '', tapSpec().mac);
    try {
      assert.is((await guest.ask({ do: 'dhcp' }))['address'], '10.77.1.11');
    } finally {
      await guest.close();
    }
  });

  test('changes made by hand are reported as drift, and wiring again repairs them', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const { tap, bridge } = await dp.wireTap(tapSpec(), nextCall());
    await inside(namespace, 'ip', 'route', 'del', '10.77.1.11/32', 'dev', bridge);
    await inside(namespace, 'ip', 'link', 'set', tap, 'nomaster');
    await inside(namespace, 'nft', 'flush', 'set', 'bridge', 'port', 'spoof');
    const { drift } = await dp.readTap(tapSpec(), nextCall());
    for (const what of ['no route', 'not a slave of its bridge', 'not admitted by the firewall'])
      assert.ok(drift.includes(what), `${what}: ${drift}`);
    await dp.wireTap(tapSpec(), nextCall());
    assert.equal((await dp.readTap(tapSpec(), nextCall())).drift, []);
  });

  test('calls with an older run epoch or an older fence are refused', async () => {
    const dp = await opened;
    const newer = tapSpec(11, { owner: ownerOf('binding/acme/web-11.eth0@w1', 2) });
    await dp.createTap(newer, nextCall());
    await dp.wireTap(newer, nextCall());
    assert.is(await codeOf(dp.removeTap(tapSpec(), nextCall())), 'run_epoch_older');
    assert.is(await codeOf(dp.removeTap(newer, nextCall({ version: 1 }))), 'fence_older');
    assert.is(await codeOf(dp.wireTap(newer, nextCall({ ownerEpoch: 0 }))), 'fence_older');
    assert.equal((await dp.readTap(newer, nextCall())).drift, []);
  });

  test('removing a port does not take away an address that another port has by now', async () => {
    const dp = await opened;
    const first = tapSpec(31);
    const second = tapSpec(31, { owner: ownerOf('binding/acme/web-31.eth0@w1', 1, '01SECONDUID') });
    for (const one of [first, second]) {
      await dp.createTap(one, nextCall());
      await dp.wireTap(one, nextCall());
    }
    assert.ok((await dp.removeTap(first, nextCall())).removed);
    assert.equal((await dp.readTap(second, nextCall())).drift, []);
    assert.ok((await dp.removeTap(second, nextCall())).removed);
    assert.not.ok((await dp.removeTap(second, nextCall())).removed);
    const { namespace } = await realized(dp);
    assert.not.match(await inside(namespace, 'nft', 'list', 'ruleset'), /10\.77\.1\.31/);
    assert.not.match(await inside(namespace, 'ip', 'route'), /10\.77\.1\.31/);
  });

  test('impossible requests are refused with their own codes, and a refused port can be wired afterwards', async () => {
    const dp = await opened;
    assert.is(await codeOf(dp.wireTap(tapSpec(40), nextCall())), 'tap_missing');
    assert.is(await codeOf(dp.createTap(tapSpec(40, { hostname: 'a\nb' }), nextCall())), 'spec_invalid');
    assert.is(await codeOf(dp.wireTap(tapSpec(40, { vpc: 'vpc/acme/none' }), nextCall())), 'segment_missing');
    await dp.createTap(tapSpec(40), nextCall());
    assert.is(await codeOf(dp.wireTap(tapSpec(40, { network: 'network/acme/none' }), nextCall())), 'network_missing');
    const large = segmentAsk({ networks: [testNetwork({ mtu: 1500 })] });
    assert.is(await codeIn(dp.realizeSegment(large, nextCall()), 'networks'), 'mtu_too_large');
    assert.is(await codeOf(dp.removeSegment(ask.segment, nextCall())), 'segment_in_use');
    const aborted = new AbortController();
    aborted.abort(new Error('left'));
    await dp.wireTap(tapSpec(40), nextCall({}, aborted.signal)).then(
      () => assert.unreachable(),
      (error: Error) => assert.is(error.message, 'left'),
    );
    await dp.wireTap(tapSpec(40), nextCall());
    await dp.removeTap(tapSpec(40), nextCall());
  });

  test('a second dataplane adopts everything unchanged; a removed network and segment leave nothing', async () => {
    const first = await opened;
    const tap = tapSpec(11, { owner: ownerOf('binding/acme/web-11.eth0@w1', 2) });
    const before = await realized(first);
    const elsewhere = mkdtempSync(`${folder}/`);
    const next = await createDataplane(testOptions(elsewhere));
    try {
      const after = await realized(next);
      assert.is(dnsmasqOf(after), dnsmasqOf(before));
      // The second dataplane has another fences.log: only the mark on the tap can refuse the older run.
      assert.is(await codeOf(next.removeTap(tapSpec(), nextCall())), 'run_epoch_older');
      assert.equal((await next.readTap(tap, nextCall())).drift, []);
      await next.removeTap(tap, nextCall());
      const bare = await realized(next, segmentAsk({ networks: [], generation: 2 }));
      assert.equal(bare.bridges, {});
      assert.ok((await next.removeSegment(ask.segment, nextCall())).removed);
      assert.not.ok((await next.removeSegment(ask.segment, nextCall())).removed);
      assert.equal(await next.residue(), []);
      // the VNI is free at once
      await realized(next, segmentAsk({ owner: ownerOf('segment/acme/other@w1'), vpc: 'vpc/acme/other' }));
      const third = next.realizeSegment(segmentAsk({ vpc: 'vpc/acme/third' }), nextCall());
      assert.is(await codeIn(third, 'overlay'), 'vni_busy');
    } finally {
      const swept = await next.sweep({ owners: async () => [] }, nextCall());
      assert.equal(swept.failed, []);
      await until('no residue', async () => (await next.residue()).length === 0);
      await next.close();
      rmSync(elsewhere, { recursive: true });
    }
  });
});

test.run();

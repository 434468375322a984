/** The fences of a VPC on the real kernel: what a silent host still sends with the addresses of a port is dropped. */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, nextCall, openForTests, realized, run, segmentAsk } from '../dataplane-for-tests.ts';
import { fencesIn } from './fences-section.ts';

test('what is no host with addresses is refused before anything is made', () => {
  for (const element of [
    { host: 0, addresses: ['10.77.1.10'] },
    { host: 2, addresses: [] },
    { host: 2, addresses: ['10.77.1.10 } ; flush ruleset'] },
    { host: 2, addresses: ['10.77.1.10'], mac: 'x' },
  ])
    assert.throws(() => fencesIn({ one: element }), /spec is invalid/);
});

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  const { segment } = segmentAsk();
  const change = async (to: number, put: Elements, removed: Elements = {}) =>
    (await opened).changeSegment({ segment, changes: [{ section: 'fences', to, put, removed }] }, nextCall());
  const of = (host: number, ...addresses: string[]) => ({ host, addresses });

  test('senders come and go one by one, and the table with the first and the last', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const printed = () => run('ip', 'netns', 'exec', namespace, 'nft', 'list', 'table', 'inet', 'fence').catch(String);
    assert.match(await printed(), /No such file/);
    assert.equal(await change(1, { a: of(2, '10.77.1.10', '10.77.1.11'), b: of(10, '10.77.1.12') }), {
      proven: { fences: 1 },
      failed: {},
    });
    const all = await printed();
    for (const one of ['02 . 10.77.1.10', '02 . 10.77.1.11', '0a . 10.77.1.12'])
      assert.match(all, `02:00:5f:00:00:${one}`);
    assert.match(all, /prerouting priority (raw|-300)/);
    assert.match(all, /iifname "vx0" ether saddr . ip saddr @senders drop/);
    assert.equal(await change(2, {}, { a: of(2, '10.77.1.10', '10.77.1.11') }), {
      proven: { fences: 2 },
      failed: {},
    });
    assert.not.match(await printed(), '10.77.1.10');
    assert.match(await printed(), '10.77.1.12');
    // An administrator's hand shows, and the whole sets it right.
    await run('ip', 'netns', 'exec', namespace, 'nft', 'delete', 'table', 'inet', 'fence');
    const sections = { fences: { generation: 3, elements: { b: of(10, '10.77.1.12') } } };
    const { drift } = await dp.readSegment({ segment, sections }, nextCall());
    assert.match(JSON.stringify(drift), /0a \. 10\.77\.1\.12 is not dropped/);
    assert.equal((await dp.realizeSegment({ segment, sections }, nextCall())).proven, { fences: 3 });
    assert.match(await printed(), '10.77.1.12');
    assert.equal(await change(4, {}, { b: of(10, '10.77.1.12') }), { proven: { fences: 4 }, failed: {} });
    assert.match(await printed(), /No such file/);
  });
});

test.run();

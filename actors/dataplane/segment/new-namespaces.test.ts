/**
 * Sections without elements in a namespace that was made just now: which are neither made nor read, and that everything
 * after that is made and read as ever. On the real kernel.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, nextCall, openForTests, ownerOf, run, segmentAsk } from '../dataplane-for-tests.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { NamespaceLinks } from '../namespace-link.ts';
import { isNewNamespace, leftOutWhenEmpty } from './new-namespaces.ts';
import type { SegmentPlace, SegmentSection } from './segment-section.ts';
import { segmentSections } from './segment-sections.ts';

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  const links = new NamespaceLinks();
  test.after(() => links.close());

  /** A section that only counts, in a namespace of its own. */
  async function counted(namespace: string, isNew: boolean) {
    await run('ip', 'netns', 'add', namespace);
    const site: Partial<DataplaneSite> = { links };
    const segment = { owner: ownerOf('segment/acme/main@w1'), vpc: 'vpc/acme/main' };
    const place: SegmentPlace = { site: site as DataplaneSite, namespace, segment };
    if (isNew) isNewNamespace(links.of(namespace));
    const calls: string[] = [];
    const called = async (what: string): Promise<void> => void calls.push(what);
    const section: SegmentSection = leftOutWhenEmpty({
      name: 'address-sets',
      after: [],
      check: () => {},
      startsEmpty: () => called('startsEmpty'),
      ensure: () => called('ensure'),
      change: () => called('change'),
      read: async () => {
        await called('read');
        return { facts: {}, drift: [] };
      },
      remove: async () => {},
    });
    const ensure = (elements: Elements = {}) => section.ensure(place, elements);
    const read = (wanted: Elements = {}, unwanted: Elements = {}) => section.read(place, wanted, unwanted);
    const change = () => section.change(place, { put: { a: {} }, removed: {} });
    return { calls, ensure, read, change };
  }

  test('once, and only once, a section without elements is neither made nor read', async () => {
    const { calls, ensure, read } = await counted('n1', true);
    await ensure();
    await read();
    assert.equal(calls, ['startsEmpty']);
    await read();
    await ensure();
    await read();
    assert.equal(calls, ['startsEmpty', 'read', 'ensure', 'read']);
  });

  test('a section with elements is made and read, and later also without', async () => {
    const { calls, ensure, read } = await counted('n2', true);
    await ensure({ a: {} });
    await read({ a: {} });
    await ensure();
    await read();
    assert.equal(calls, ['ensure', 'read', 'ensure', 'read']);
  });

  test('an increment ends it, and what it has put is read', async () => {
    const { calls, ensure, read, change } = await counted('n3', true);
    await ensure();
    await change();
    await read();
    await ensure();
    assert.equal(calls, ['startsEmpty', 'change', 'read', 'ensure']);
  });

  test('elements that are asked for are read even when the section was left out', async () => {
    const { calls, ensure, read } = await counted('n4', true);
    await ensure();
    await read({}, { a: {} });
    assert.equal(calls, ['startsEmpty', 'read']);
  });

  test('in a namespace that this process has found, everything is made and read', async () => {
    const { calls, ensure, read } = await counted('n5', false);
    await ensure();
    await read();
    assert.equal(calls, ['ensure', 'read']);
  });

  test('what a stranger puts into sections that were left out goes when the segment is made again', async () => {
    const dp = await opened;
    const { segment, sections } = segmentAsk();
    const names = segmentSections.flatMap(({ name, startsEmpty }) => (startsEmpty === undefined ? [] : [name]));
    const empty = Object.fromEntries(names.map((name) => [name, { generation: 1, elements: {} }]));
    const ask = { segment, sections: { ...sections, ...empty } };
    const { proven, failed, proof } = await dp.realizeSegment(ask, nextCall());
    assert.equal([failed, names.filter((name) => proven[name] !== 1)], [{}, []]);
    const inside = ['netns', 'exec', String((proof as { namespace?: string }).namespace)];
    await run('ip', ...inside, 'ip', 'route', 'add', 'blackhole', '203.0.113.0/24', 'metric', '1', 'proto', '80');
    await run('ip', ...inside, 'nft', 'add set inet sg gm_aaaaaaaaaaaaaaaa { type ipv4_addr; }');
    assert.equal((await dp.realizeSegment(ask, nextCall())).failed, {});
    assert.is(await run('ip', ...inside, 'ip', 'route', 'show', 'proto', '80'), '');
    assert.not.match(await run('ip', ...inside, 'nft', 'list', 'sets'), /gm_a/);
  });
});

test.run();

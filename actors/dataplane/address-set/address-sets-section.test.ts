/**
 * Address sets on the real kernel: made, changed element by element, read back, taken away; bad lists stop at the door.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, openForTests, nextCall, realized, run, segmentAsk } from '../dataplane-for-tests.ts';
import { addressSetName } from '../security-group/group-chains.ts';
import { addressSetsIn } from './address-sets-section.ts';

const office = 'address-set/acme/office';
const partners = 'address-set/acme/partners';
const of = (...cidrs: string[]) => ({ cidrs });

test('a list that is no list of CIDRs is refused before anything is made', () => {
  for (const cidrs of [['192.0.2.1/24'], ['10.0.0.0/8', '10.1.0.0/16'], ['}; flush ruleset'], 'x', [7]])
    assert.throws(() => addressSetsIn({ [office]: { cidrs } }), /spec is invalid/);
  assert.throws(() => addressSetsIn({ 'address-set/acme/a b': of() }), /spec is invalid/);
  assert.is(addressSetsIn({ [office]: of('0.0.0.0/0') }).size, 1);
});

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  const { segment } = segmentAsk();

  const change = async (to: number, put: Elements, removed: Elements = {}) =>
    (await opened).changeSegment({ segment, changes: [{ section: 'address-sets', to, put, removed }] }, nextCall());
  const printed = (namespace: string) => run('ip', 'netns', 'exec', namespace, 'nft', 'list', 'sets', 'inet');

  test('sets follow their lists, element by element, and the whole takes away what is not in it', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const first = { [office]: of('192.0.2.0/24', '198.51.100.7/32'), [partners]: of() };
    assert.equal(await change(1, first), { proven: { 'address-sets': 1 }, failed: {} });
    const name = addressSetName(office);
    assert.match(
      await printed(namespace),
      new RegExp(`set ${name} \\{[^}]*\\{ 192\\.0\\.2\\.0/24, 198\\.51\\.100\\.7 \\}`),
    );
    assert.equal(await change(2, { [office]: of('192.0.2.0/24', '203.0.113.0/25') }), {
      proven: { 'address-sets': 2 },
      failed: {},
    });
    const changed = await printed(namespace);
    assert.match(changed, '203.0.113.0/25');
    assert.not.match(changed, '198.51.100.7');
    // An administrator's hand shows, and the whole sets it right.
    await run('ip', 'netns', 'exec', namespace, 'nft', 'flush', 'set', 'inet', 'sg', name);
    const sections = { 'address-sets': { generation: 3, elements: { [office]: of('192.0.2.0/24') } } };
    assert.match(
      JSON.stringify((await dp.readSegment({ segment, sections }, nextCall())).drift),
      /office is not as wanted/,
    );
    const whole = await dp.realizeSegment({ segment, sections }, nextCall());
    assert.equal([whole.proven, whole.failed], [{ 'address-sets': 3 }, {}]);
    assert.not.match(await printed(namespace), addressSetName(partners));
    assert.equal(await change(4, {}, { [office]: of('192.0.2.0/24') }), { proven: { 'address-sets': 4 }, failed: {} });
    assert.not.match(await printed(namespace), /set as_/);
  });
});

test.run();

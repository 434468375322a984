/** The ranges of a VPC on the real kernel: refused routes that every other route precedes. */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, nextCall, openForTests, realized, run, segmentAsk } from '../dataplane-for-tests.ts';
import { rangesIn } from './ranges-section.ts';

test('what is no CIDR is refused before anything is made', () => {
  for (const cidr of ['10.0.0.1/24', '10.0.0.0/24 dev lo', 'default', ''])
    assert.throws(() => rangesIn({ [cidr]: {} }), /spec is invalid/);
});

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  const { segment } = segmentAsk();
  const change = async (to: number, put: Elements, removed: Elements = {}) =>
    (await opened).changeSegment({ segment, changes: [{ section: 'ranges', to, put, removed }] }, nextCall());
  const [here, there] = ['10.77.0.0/16', '10.78.0.0/16'];

  test('an address that nobody has is unreachable, whatever the default route', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const routeTo = (address: string) => run('ip', '-n', namespace, 'route', 'get', address).catch(String);
    await run('ip', '-n', namespace, 'route', 'add', 'default', 'via', '169.254.64.9', 'dev', 'vx0', 'onlink');
    assert.match(await routeTo('10.77.0.9'), /via 169\.254\.64\.9/);
    assert.equal(await change(1, { [here]: {}, [there]: {} }), { proven: { ranges: 1 }, failed: {} });
    assert.match(await routeTo('10.77.0.9'), /No route to host|unreachable/);
    await run('ip', '-n', namespace, 'route', 'add', '10.77.0.9/32', 'via', '169.254.64.8', 'dev', 'vx0', 'onlink');
    assert.match(await routeTo('10.77.0.9'), /via 169\.254\.64\.8/, 'the route of a port comes first');
    assert.equal(await change(2, {}, { [there]: {} }), { proven: { ranges: 2 }, failed: {} });
    assert.match(await routeTo('10.78.0.9'), /via 169\.254\.64\.9/);
    // An administrator's hand shows, and the whole sets it right.
    await run('ip', '-n', namespace, 'route', 'delete', 'unreachable', here);
    const sections = { ranges: { generation: 3, elements: { [here]: {} } } };
    const { drift } = await dp.readSegment({ segment, sections }, nextCall());
    assert.match(JSON.stringify(drift), /10\.77\.0\.0\/16 is not unreachable/);
    assert.equal((await dp.realizeSegment({ segment, sections }, nextCall())).proven, { ranges: 3 });
    const whole = { ranges: { generation: 4, elements: {} } };
    assert.equal((await dp.realizeSegment({ segment, sections: whole }, nextCall())).proven, { ranges: 4 });
    assert.match(await routeTo('10.77.0.10'), /via 169\.254\.64\.9/);
  });
});

test.run();

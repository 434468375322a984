/** What a worker answers a controller that asks for the words of a guest. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vmDefinition } from '../vm/vm-actor.ts';
import type { GuestReading } from '../dataplane/contract/incarnation-contract.ts';
import { quietLog } from '../dataplane/dataplane-for-tests.ts';
import { guestFacts, serveGuest } from './guest-routes.ts';
import { httpAnswer } from './http-answer-for-tests.ts';

const silent: GuestReading = { answers: false, system: null, kernel: null, hostName: null, interfaces: null };
const web: GuestReading = {
  answers: true,
  system: 'Debian GNU/Linux 12 (bookworm)',
  kernel: '6.1.0-31',
  hostName: 'web-1',
  interfaces: [
    { name: 'eth0', mac: '02:00:00:00:00:0b', addresses: ['10.0.0.2/24', 'fe80::b/64'] },
    { name: 'wg0', mac: null, addresses: [] },
  ],
};

test('what is known is a fact, and what is not is left out', () => {
  assert.equal(guestFacts(silent), [{ name: 'guest agent', values: ['does not answer'] }]);
  assert.equal(guestFacts(web), [
    { name: 'guest agent', values: ['answers'] },
    { name: 'system', values: ['Debian GNU/Linux 12 (bookworm)'] },
    { name: 'kernel', values: ['6.1.0-31'] },
    { name: 'host name', values: ['web-1'] },
    { name: 'interface eth0', values: ['02:00:00:00:00:0b', '10.0.0.2/24', 'fe80::b/64'] },
    { name: 'interface wg0', values: [] },
  ]);
});

test('a worker answers the facts of the guest that is asked for', async () => {
  const asked: string[] = [];
  const ask = async (incarnation: string | undefined): Promise<readonly [number, string]> => {
    const { response, read } = httpAnswer();
    const readGuest = async (one: string): Promise<GuestReading> => {
      asked.push(one);
      if (one === 'broken') throw new Error('the folder of runs cannot be read');
      return web;
    };
    await serveGuest({ readGuest }, incarnation, response, quietLog);
    return read();
  };
  assert.equal(await ask('incarnation/acme/web@w1'), [200, JSON.stringify(guestFacts(web))]);
  assert.equal(await ask(undefined), [404, '']);
  assert.equal(await ask('broken'), [500, '']);
  assert.equal(asked, ['incarnation/acme/web@w1', 'broken']);
});

test('only a VM that runs, and was started with a port for the agent, is asked', () => {
  const place = (changes: object): unknown => {
    const context = { host: { name: 'w1' }, runSpec: { guestAgent: true }, runningSince: 5, ...changes };
    return vmDefinition.facts?.('vm/acme/web' as never, context as never);
  };
  assert.equal(place({}), { node: 'w1', path: '/guests/acme/web' });
  for (const none of [{ host: null }, { runSpec: null }, { runSpec: { guestAgent: false } }, { runningSince: null }])
    assert.is(place(none), null, JSON.stringify(none));
});

test.run();

/**
 * Classless routes, as a guest gets them from a real dnsmasq (option 121): those that it can follow, with the default
 * route among them.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NetworkSpec } from '@photoncloud/machines/values/wiring';
import { FrameGuest, codeIn, inOwnNamespaces, nextCall, openForTests } from '../dataplane-for-tests.ts';
import { realized, segmentAsk, tapSpec, testNetwork } from '../dataplane-for-tests.ts';

type Routes = NonNullable<NetworkSpec['dhcp']['routes']>;

const subnets = [
  { name: 'a', cidr: '10.77.1.0/24', gateway: '10.77.1.1' },
  { name: 'b', cidr: '10.77.2.0/24', gateway: '10.77.2.254' },
];
const networkWith = (routes: Routes): NetworkSpec => testNetwork({ subnets, dhcp: { ...testNetwork().dhcp, routes } });

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();

  /** What guests in subnets a and b are told: classless routes and router. */
  async function told(routes: Routes, generation: number): Promise<unknown[]> {
    const dp = await opened;
    const { namespace } = await realized(dp, segmentAsk({ networks: [networkWith(routes)], generation }));
    const ports = [tapSpec(11), tapSpec(12, { address: '10.77.2.12', gateway: '10.77.2.254' })];
    const answers: unknown[] = [];
    for (const port of ports) {
      await dp.createTap(port, nextCall());
      const guest = new FrameGuest(namespace, (await dp.wireTap(port, nextCall())).tap, port.mac);
      const lease = await guest.ask({ do: 'dhcp', timeoutMs: 20_000 });
      await guest.close();
      await dp.removeTap(port, nextCall());
      answers.push([lease['address'], lease['router'], lease['routes']]);
    }
    return answers;
  }

  test('without routes a guest gets no option 121', async () => {
    assert.equal(await told([], 1), [
      ['10.77.1.11', '10.77.1.1', []],
      ['10.77.2.12', '10.77.2.254', []],
    ]);
  });

  test('guests get the routes whose next hop is in their subnet, and with them their default route', async () => {
    const routes = [
      { destination: '192.168.0.0/16', via: '10.77.1.9' },
      { destination: '172.16.5.128/25', via: '10.77.1.1' },
      { destination: '10.99.0.7/32', via: '10.77.2.9' },
      { destination: '128.0.0.0/1', via: '10.77.2.10' },
    ];
    assert.equal(await told(routes, 2), [
      ['10.77.1.11', '10.77.1.1', ['192.168.0.0/16 10.77.1.9', '172.16.5.128/25 10.77.1.1', '0.0.0.0/0 10.77.1.1']],
      ['10.77.2.12', '10.77.2.254', ['10.99.0.7/32 10.77.2.9', '128.0.0.0/1 10.77.2.10', '0.0.0.0/0 10.77.2.254']],
    ]);
  });

  test('as many as fit into the option arrive', async () => {
    const many = Array.from({ length: 27 }, (_, n) => ({ destination: `10.200.${n}.1/32`, via: '10.77.1.9' }));
    const [[, , routes]] = (await told(many, 3)) as [[string, string, string[]]];
    assert.is(routes.length, 28);
    assert.is(routes.at(-1), '0.0.0.0/0 10.77.1.1');
  });

  test('a route that is no route reaches no configuration', async () => {
    const dp = await opened;
    const bad = [
      { destination: '10.0.0.0/24,1.2.3.4', via: '10.77.1.9' },
      { destination: '10.0.0.1/24', via: '10.77.1.9' },
      { destination: '10.0.0.0/24', via: '10.77.1.9\ndhcp-script=/bin/sh' },
    ];
    for (const [at, route] of bad.entries()) {
      const ask = segmentAsk({ networks: [networkWith([route])], generation: 4 + at });
      assert.is(await codeIn(dp.realizeSegment(ask, nextCall()), 'networks'), 'spec_invalid', JSON.stringify(route));
    }
  });
});

test.run();

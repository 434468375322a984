/**
 * What a guest sends to addresses that nobody declared is dropped before the kernel asks who has them: the room for
 * such questions is one for all namespaces of a host (docs/threats.md#t43).
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameGuest, inOwnNamespaces, openForTests, nextCall, realized, run } from '../dataplane-for-tests.ts';
import { segmentAsk, tapSpec, testNetwork, until } from '../dataplane-for-tests.ts';
import { frameOf } from '../packets-for-tests.ts';

const back = testNetwork({
  network: 'network/acme/back',
  uid: '01TESTBACK',
  subnets: [{ name: 'b', cidr: '10.78.1.0/24', gateway: '10.78.1.1' }],
});
const peers = [{ name: 'w2', index: 2, underlay: '127.0.0.2', underlayMtu: 1500 }];
const routes = [{ address: '10.77.1.90', host: 2 }];

/** An ICMP echo in an Ethernet frame to the gateway. */
const echo = (fromMac: string, from: string, to: string): string =>
  frameOf({ from, to, fromMac, protocol: 1, mark: 1 });

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();

  test('a guest fills no neighbour table, whatever addresses it sends to', async () => {
    const dp = await opened;
    const ask = segmentAsk({ networks: [testNetwork(), back], peers, routes });
    const { namespace } = await realized(dp, ask);
    const spec = tapSpec();
    await dp.createTap(spec, nextCall());
    const guest = new FrameGuest(namespace, (await dp.wireTap(spec, nextCall())).tap, spec.mac);
    const neighbours = async (): Promise<string[]> => {
      const lines = (await run('ip', '-n', namespace, 'neigh', 'show', 'nud', 'all')).split('\n');
      return lines.filter((line) => line !== '' && !line.includes('NOARP')).sort();
    };
    try {
      assert.ok((await guest.ask({ do: 'dhcp' }))['ok']);
      const before = await neighbours();
      const nets = ['169.254.64', '169.254.65', '169.254.169', '10.77.1', '10.78.1', '10.79.1', '192.0.2', '224.0.0'];
      for (const net of nets)
        for (let last = 0; last < 256; last += 1)
          await guest.ask({ do: 'send', frame: echo(spec.mac, spec.address, `${net}.${last}`) });
      assert.equal((await guest.ask({ do: 'ping', to: '10.77.1.1', count: 1 }))['received'], 1, 'its gateway answers');
      assert.equal(await neighbours(), before, `${(await neighbours()).length} entries, ${before.length} before`);
      // A host that asks a guest gets its answer, and a guest that asks a host gets none.
      await run('ip', 'netns', 'exec', namespace, 'ping', '-c', '1', '-W', '3', '-I', '169.254.64.1', spec.address);
      for (const to of ['169.254.64.1', '169.254.64.2']) {
        const unanswered = await guest.ask({ do: 'ping', to, count: 1, timeoutMs: 500 });
        assert.is.not(unanswered['received'], 1, to);
      }
      // What is declared is on its way: a port of another host.
      const sent = async () => {
        const [{ stats64 }] = JSON.parse(await run('ip', '-n', namespace, '-s', '-j', 'link', 'show', 'vx0')) as [
          { stats64: { tx: { packets: number } } },
        ];
        return stats64.tx.packets;
      };
      const earlier = await sent();
      await guest.ask({ do: 'send', frame: echo(spec.mac, spec.address, '10.77.1.90') });
      await until('a packet leaves for the other host', async () => (await sent()) > earlier);
    } finally {
      await guest.close();
    }
  });
});

test.run();

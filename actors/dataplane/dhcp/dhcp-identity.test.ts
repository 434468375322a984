/**
 * Who gets which address, with a real dnsmasq and DHCP packets made by hand: the declared port alone decides, never
 * what a guest says about itself, what dnsmasq remembers, or what a tenant calls a VM (docs/threats.md#t41, #t42).
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import { FrameGuest, dnsmasqOf, inOwnNamespaces, openForTests, nextCall, ownerOf } from '../dataplane-for-tests.ts';
import { realized, segmentAsk, tapSpec, testNetwork, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';

const back = testNetwork({
  network: 'network/acme/back',
  uid: '01TESTBACK',
  subnets: [{ name: 'b', cidr: '10.78.1.0/24', gateway: '10.78.1.1' }],
  // Allowed as a domain, and an address to whom it looks like one.
  dhcp: { ...testNetwork().dhcp, domain: '10.0.0.1', search: ['acme.internal', 'example', 'db.acme.internal'] },
});
const ask = segmentAsk({ networks: [testNetwork(), back] });

inOwnNamespaces(import.meta.filename, () => {
  const { opened, folder } = openForTests();

  const wired = async (spec: TapSpec): Promise<FrameGuest> => {
    const dp = await opened;
    const { namespace } = await realized(dp, ask);
    await dp.createTap(spec, nextCall());
    return new FrameGuest(namespace, (await dp.wireTap(spec, nextCall())).tap, spec.mac);
  };
  /** Runs `work` with guests on these ports, and takes both away afterwards. */
  const withGuests = async (specs: readonly TapSpec[], work: (...guests: FrameGuest[]) => Promise<void>) => {
    const guests: FrameGuest[] = [];
    try {
      for (const spec of specs) guests.push(await wired(spec));
      await work(...guests);
    } finally {
      for (const guest of guests) await guest.close();
      for (const spec of specs) await (await opened).removeTap(spec, nextCall());
    }
  };
  const leased = async (guest: FrameGuest | undefined, more: Record<string, string | boolean> = {}) => {
    const answer = await guest?.ask({ do: 'dhcp', timeoutMs: 3000, ...more });
    assert.ok(answer?.['ok'], JSON.stringify(answer));
    return answer?.['address'];
  };
  const told = ({ domain, search }: Readonly<Record<string, unknown>>) => [domain, search];
  /** Another port of the same name and address. */
  const another = (index: number, uid: string, mac: string, more: Partial<TapSpec> = {}): TapSpec =>
    tapSpec(index, { owner: ownerOf(`binding/acme/web-${index}.eth0@w1`, 1, uid), mac, ...more });

  test('an address that is declared for another MAC is given to it at once, whoever had it before', async () => {
    const first = tapSpec(51);
    await withGuests([first], async (guest) => assert.is(await leased(guest), '10.77.1.51'));
    const second = another(51, '01SECOND', '02:00:00:00:99:02');
    await withGuests([second], async (guest) => assert.is(await leased(guest), '10.77.1.51'));
    // The new port is wired before the old one is removed, and by a worker that has just started.
    const third = another(51, '01THIRD', '02:00:00:00:99:03');
    await withGuests([second], async (guest) => {
      await leased(guest);
      const next = await createDataplane(testOptions(`${folder}/next`));
      try {
        await next.createTap(third, nextCall());
        await next.wireTap(third, nextCall());
        assert.equal((await next.readTap(third, nextCall())).drift, []);
      } finally {
        await next.close();
      }
    });
    await withGuests([third], async (guest) => assert.is(await leased(guest), '10.77.1.51'));
  });

  test('a port that comes again with its MAC, or another address, does not make dnsmasq start anew', async () => {
    const before = await realized(await opened, ask);
    const ports = [tapSpec(52), tapSpec(52), another(52, '01OTHER', tapSpec(52).mac, { address: '10.77.1.152' })];
    for (const port of ports) await withGuests([port], async (guest) => assert.is(await leased(guest), port.address));
    assert.is(dnsmasqOf(await realized(await opened, ask)), dnsmasqOf(before));
  });

  test('guests that send the same client identifier, or that of a neighbour, keep their own leases', async () => {
    const elsewhere = tapSpec(63, { network: back.network, address: '10.78.1.63', gateway: '10.78.1.1' });
    await withGuests([tapSpec(61), tapSpec(62), elsewhere], async (first, second, stranger) => {
      const same = { clientId: 'ff00112233' };
      for (const more of [{}, { renew: true }, { renew: true }]) {
        assert.is(await leased(first, { ...same, ...more }), '10.77.1.61');
        assert.is(await leased(second, { ...same, ...more }), '10.77.1.62');
        // 01 and the MAC is what most guests send.
        const stolen = { clientId: `01${tapSpec(61).mac.replaceAll(':', '')}` };
        assert.is(await leased(stranger, { ...stolen, ...more }), '10.78.1.63');
      }
      assert.is(await leased(first, { renew: true }), '10.77.1.61');
    });
  });

  test('ports of two networks of a VPC that declare the same MAC keep their own leases', async () => {
    const inBack = tapSpec(71, { network: back.network, address: '10.78.1.71', gateway: '10.78.1.1' });
    const other = { ...inBack, owner: ownerOf('binding/acme/same.eth0@w1') };
    await withGuests([tapSpec(71), other], async (front, behind) => {
      for (const more of [{}, { renew: true }, { renew: true }]) {
        assert.is(await leased(front, more), '10.77.1.71');
        assert.is(await leased(behind, more), '10.78.1.71');
      }
    });
  });

  test('a VM may have any name: the words of dnsmasq are names like all others', async () => {
    const words = ['ignore', 'infinite', 'a', 'localhost', 'set', 'tag', 'net', 'id', 'known', 'static', 'w', 'h2'];
    const specs = words.map((hostname, index) => tapSpec(81 + index, { hostname }));
    const elsewhere = tapSpec(99, { network: back.network, address: '10.78.1.99', gateway: '10.78.1.1' });
    await withGuests([elsewhere], async (guest) =>
      assert.equal(told(await guest.ask({ do: 'dhcp', timeoutMs: 3000 })), ['10.0.0.1', back.dhcp.search]),
    );
    await withGuests(specs, async (...guests) => {
      for (const [index, guest] of guests.entries()) {
        const lease = await guest.ask({ do: 'dhcp', timeoutMs: 3000 });
        const got = [lease['address'], lease['hostname'], lease['leaseSeconds']];
        assert.equal(got, [`10.77.1.${81 + index}`, words[index], 3600], `${words[index]}: ${JSON.stringify(lease)}`);
      }
    });
  });
});

test.run();

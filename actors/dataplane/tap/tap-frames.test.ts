/**
 * Which frames of a guest pass (docs/threats.md#t13): a counter behind the anti-spoofing chain counts the permitted
 * frames and none of the others. Also: which lease a guest gets after another port of the same name was removed.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FrameGuest, inOwnNamespaces, openForTests, nextCall, ownerOf, run, until } from '../dataplane-for-tests.ts';
import { realized, tapSpec } from '../dataplane-for-tests.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/[^0-9a-f]/g, ''), 'hex');
const ip4 = (address: string): Buffer => Buffer.from(address.split('.').map(Number));
const gateway = hex('02:00:5e:00:00:01');
const everybody = hex('ff'.repeat(6));

function frame(to: Buffer, from: Buffer, type: string, body: Buffer): Buffer {
  return Buffer.concat([to, from, hex(type), body, Buffer.alloc(Math.max(0, 46 - body.length))]);
}

/** IPv4 with a valid header checksum; UDP when ports are given, else an ICMP echo. */
function packet(
  from: string,
  to: string,
  ports?: readonly [number, number],
  client: Buffer = Buffer.alloc(6),
  { own = '0.0.0.0', relay = '0.0.0.0' } = {},
): Buffer {
  // In a DHCP message the client's address is 12 bytes behind the UDP header, a relay's 24, the client's MAC 28.
  const body = Buffer.concat([Buffer.alloc(20), ip4(own), Buffer.alloc(8), ip4(relay), client, Buffer.alloc(10)]);
  if (ports === undefined) body.writeUInt8(8, 0);
  else [...ports, body.length].forEach((value, index) => body.writeUInt16BE(value, index * 2));
  const head = Buffer.concat([
    hex('4500'),
    Buffer.from([0, 20 + body.length]),
    hex('0001 0000 40'),
    Buffer.from([ports === undefined ? 1 : 17, 0, 0]),
    ip4(from),
    ip4(to),
  ]);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += head.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  head.writeUInt16BE(~sum & 0xffff, 10);
  return Buffer.concat([head, body]);
}

const arp = (operation: number, mac: Buffer, address: string, wanted: string): Buffer =>
  Buffer.concat([hex(`0001 0800 0604 000${operation}`), mac, ip4(address), Buffer.alloc(6), ip4(wanted)]);

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();

  test('only frames of the port itself pass', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const spec = tapSpec(11);
    await dp.createTap(spec, nextCall());
    const { tap } = await dp.wireTap(spec, nextCall());
    const all = '255.255.255.255';
    const bridges = hex('01:80:c2:00:00:03');
    const [itself, another, relayed] = [{ own: '10.77.1.11' }, { own: '10.77.1.200' }, { relay: '10.77.1.200' }];
    const [mine, other] = [hex(spec.mac), hex('02:00:00:00:77:0c')];
    const inside = (...words: string[]): Promise<string> => run('nsenter', `--net=/run/netns/${namespace}`, ...words);
    await inside(
      'nft',
      `add table bridge probe; add chain bridge probe seen { type filter hook prerouting priority 0; }; ` +
        `add rule bridge probe seen iifname ${tap} counter`,
    );
    const seen = async (): Promise<number> =>
      Number(/packets (\d+)/.exec(await inside('nft', 'list', 'chain', 'bridge', 'probe', 'seen'))?.[1]);
    const guest = new FrameGuest(namespace, tap, spec.mac);
    // A bridge notices a port's carrier with a delay, and drops the port's frames until then.
    await until('the bridge forwards for the guest', async () =>
      (await inside('ip', '-d', 'link', 'show', 'dev', tap)).includes('state forwarding'),
    );
    const passes = async (what: string, sent: Buffer): Promise<boolean> => {
      const before = await seen();
      const answer = await guest.ask({ do: 'send', frame: sent.toString('hex') });
      assert.ok(answer['ok'], `${what}: ${JSON.stringify(answer)}`);
      return (await seen()) > before;
    };
    try {
      const good: [string, Buffer][] = [
        ['a packet of its own', frame(gateway, mine, '0800', packet('10.77.1.11', '10.77.1.1'))],
        ['an ARP request of its own', frame(everybody, mine, '0806', arp(1, mine, '10.77.1.11', '10.77.1.1'))],
        ['an ARP probe', frame(everybody, mine, '0806', arp(1, mine, '0.0.0.0', '10.77.1.11'))],
        ['a DHCP discover', frame(everybody, mine, '0800', packet('0.0.0.0', all, [68, 67], mine))],
        ['a DHCP renewal', frame(gateway, mine, '0800', packet('10.77.1.11', '10.77.1.1', [68, 67], mine, itself))],
      ];
      const bad: [string, Buffer][] = [
        ['a foreign address', frame(gateway, mine, '0800', packet('10.77.1.12', '10.77.1.1'))],
        ["the gateway's address", frame(gateway, mine, '0800', packet('10.77.1.1', '10.77.1.11'))],
        ['a foreign MAC', frame(gateway, other, '0800', packet('10.77.1.11', '10.77.1.1'))],
        ['a foreign MAC in DHCP', frame(everybody, other, '0800', packet('0.0.0.0', all, [68, 67], other))],
        ['DHCP for a neighbour', frame(everybody, mine, '0800', packet('0.0.0.0', all, [68, 67], other))],
        ['a release for a neighbour', frame(gateway, mine, '0800', packet('10.77.1.11', '10.77.1.1', [68, 67], other))],
        ['DHCP from a relay', frame(everybody, mine, '0800', packet('0.0.0.0', all, [68, 67], mine, relayed))],
        [
          'DHCP for an address',
          frame(gateway, mine, '0800', packet('10.77.1.11', '10.77.1.1', [68, 67], mine, another)),
        ],
        ['a packet to a group of bridges', frame(bridges, mine, '0800', packet('10.77.1.12', '10.77.1.1'))],
        ['an ARP reply for the gateway', frame(everybody, mine, '0806', arp(2, mine, '10.77.1.1', '10.77.1.12'))],
        ['an ARP reply for another MAC', frame(everybody, mine, '0806', arp(2, other, '10.77.1.11', '10.77.1.1'))],
        ['an ARP probe of another', frame(everybody, mine, '0806', arp(1, other, '0.0.0.0', '10.77.1.12'))],
        ['an ARP reply from nobody', frame(everybody, mine, '0806', arp(2, mine, '0.0.0.0', '10.77.1.12'))],
        ["a DHCP server's answer", frame(everybody, mine, '0800', packet('10.77.1.11', '255.255.255.255', [67, 68]))],
        ['no address, no DHCP', frame(everybody, mine, '0800', packet('0.0.0.0', '10.77.1.1', [68, 53]))],
        ['a VLAN tag', frame(gateway, mine, '8100 0001 0800', packet('10.77.1.11', '10.77.1.1'))],
        ['a provider tag', frame(gateway, mine, '88a8 0001 0800', packet('10.77.1.11', '10.77.1.1'))],
        ['IPv6', frame(everybody, mine, '86dd', Buffer.alloc(60))],
        ['LLDP', frame(hex('01:80:c2:00:00:0e'), mine, '88cc', Buffer.alloc(60))],
        ['STP', frame(hex('01:80:c2:00:00:00'), mine, '0026', Buffer.alloc(60))],
      ];
      for (const [what, sent] of good) assert.ok(await passes(what, sent), `${what} was dropped`);
      for (const [what, sent] of bad) assert.not.ok(await passes(what, sent), `${what} passed`);
      await inside('nft', 'delete', 'element', 'bridge', 'port', 'macs', `{ "${tap}" . ${spec.mac} }`);
      for (const [what, sent] of good)
        assert.not.ok(await passes(what, sent), `${what} passed before the port was admitted`);
    } finally {
      await guest.close();
    }
  });

  test('a port created again under the same name gets its own lease, not that of the removed port', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const old = tapSpec(31);
    const next = tapSpec(31, { owner: ownerOf(old.owner.actor, 1, '01NEXTUID'), address: '10.77.1.33' });
    await dp.createTap(next, nextCall());
    const { tap } = await dp.wireTap(next, nextCall());
    // The older port is wired last: dnsmasq prefers the entry that it read last, until it forgets it.
    await dp.createTap(old, nextCall());
    await dp.wireTap(old, nextCall());
    await dp.removeTap(old, nextCall());
    const guest = new FrameGuest(namespace, tap, next.mac);
    try {
      assert.is((await guest.ask({ do: 'dhcp' }))['address'], '10.77.1.33');
    } finally {
      await guest.close();
    }
  });

  test('guests of one network reach each other through the gateway', async () => {
    const dp = await opened;
    const { namespace } = await realized(dp);
    const guests = await Promise.all(
      [41, 42].map(async (index) => {
        await dp.createTap(tapSpec(index), nextCall());
        const { tap } = await dp.wireTap(tapSpec(index), nextCall());
        const guest = new FrameGuest(namespace, tap, tapSpec(index).mac);
        await guest.ask({ do: 'configure', address: `10.77.1.${index}`, prefix: 24, gateway: '10.77.1.1' });
        return guest;
      }),
    );
    try {
      // On a busy machine an answer may be late: one shows the way.
      const ping = await guests[0]?.ask({ do: 'ping', to: '10.77.1.42', count: 3, timeoutMs: 3000 });
      assert.ok(Number(ping?.['received']) >= 1, JSON.stringify(ping));
      assert.is((await guests[0]?.ask({ do: 'arp', to: '10.77.1.42', timeoutMs: 2000 }))?.['mac'], '02:00:5e:00:00:01');
    } finally {
      await Promise.all(guests.map((guest) => guest.close()));
    }
  });
});

test.run();

/**
 * Who on the underlay may send into a VPC, with real VXLAN packets from hosts of the VPC and from strangers
 * (docs/threats.md#t44).
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements, HostFacts } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, openForTests, nextCall, ownerOf, realized, run } from '../dataplane-for-tests.ts';
import { segmentAsk } from '../dataplane-for-tests.ts';

const own = '10.9.0.1';
const vni = 7701;
/** A frame for vx0 of host 1 in a VXLAN packet to host 1, sent three times from the namespace's own address. */
const sender = `use Socket; my ($to, $vni, $mac) = @ARGV;
  my $family = $to =~ /:/ ? AF_INET6 : AF_INET;
  my $where = $family == AF_INET ? pack_sockaddr_in(4789, inet_aton($to))
    : pack_sockaddr_in6(4789, Socket::inet_pton(AF_INET6, $to));
  socket(my $wire, $family, SOCK_DGRAM, 0) or die $!;
  my $frame = pack('H12 H12 n', $mac, '02005f000002', 0x800) . "\\x45" . "\\0" x 49;
  send($wire, pack('C x3 N', 8, $vni << 8) . $frame, 0, $where) or die $! for 1 .. 3;`;

inOwnNamespaces(import.meta.filename, () => {
  const self: HostFacts = { name: 'w1', index: 1, underlay: own, underlayMtu: 1500 };
  const { opened } = openForTests({ underlay: own });
  const ask = segmentAsk({ self });
  const hostOf = (name: string, index: number, underlay: string): HostFacts => ({ ...self, name, index, underlay });
  const [second, third] = [hostOf('w2', 2, '10.9.2.2'), hostOf('w3', 3, '10.9.3.2')];

  /** A namespace on the underlay that reaches this host. */
  async function neighbour(index: number): Promise<string> {
    const name = `under${index}`;
    await run('ip', 'netns', 'add', name);
    await run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    for (const net of [`10.9.${index}`, `fd00:${index}:`]) {
      const [here, there, length] = net.includes(':') ? [`${net}:1`, `${net}:2`, 64] : [`${net}.1`, `${net}.2`, 24];
      const more = net.includes(':') ? ['nodad'] : [];
      await run('ip', 'addr', 'add', `${here}/${length}`, 'dev', name, ...more);
      await run('ip', '-n', name, 'addr', 'add', `${there}/${length}`, 'dev', 'eth0', ...more);
    }
    await run('ip', 'link', 'set', name, 'up');
    await run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    await run('ip', '-n', name, 'route', 'add', 'default', 'via', `10.9.${index}.1`);
    return name;
  }

  test('only hosts of the VPC send into it, as they come and go; VNIs that are not ours are left alone', async () => {
    const dp = await opened;
    await run('ip', 'addr', 'add', `${own}/32`, 'dev', 'lo');
    const [peer, other] = [await neighbour(2), await neighbour(3)];
    const { namespace } = await realized(dp, { ...ask, ...segmentAsk({ self, peers: [second] }) });
    const received = async (inside: string, device: string): Promise<number> => {
      const [{ stats64 }] = JSON.parse(await run('ip', ...inside.split(' '), '-s', '-j', 'link', 'show', device)) as [
        { stats64: { rx: { packets: number } } },
      ];
      return stats64.rx.packets;
    };
    const passes = async (from: string, to = own, number = vni): Promise<boolean> => {
      const before = await received(`-n ${namespace}`, 'vx0');
      await run('ip', 'netns', 'exec', from, 'perl', '-e', sender, to, String(number), '02005f000001');
      return (await received(`-n ${namespace}`, 'vx0')) > before;
    };
    const change = async (put: Elements, removed: Elements) => {
      const changes = [{ section: 'overlay', to: 2, put, removed }];
      assert.equal((await dp.changeSegment({ segment: ask.segment, changes }, nextCall())).failed, {});
    };
    assert.equal([await passes(peer), await passes(other)], [true, false], 'w2 is a host of the VPC');
    assert.not.ok(await passes(other, 'fd00:3::1'), 'over IPv6 nobody is');
    await change({ 'peer/w3': third }, { 'peer/w2': second });
    assert.equal([await passes(peer), await passes(other)], [false, true], 'w3 is, and w2 no longer');
    // The host got another address.
    await change({ 'peer/w3': { ...third, underlay: second.underlay } }, {});
    assert.equal([await passes(peer), await passes(other)], [true, false]);
    const drift = async () =>
      (await dp.readSegment(segmentAsk({ self, peers: [{ ...third, underlay: second.underlay }] }), nextCall())).drift;
    assert.equal(await drift(), {});
    const watch = dp.watchSegment({ segment: ask.segment, sections: ['overlay'] }, nextCall());
    await run('nft', 'flush', 'ruleset');
    assert.is((await watch).reason, 'filter_gone');
    assert.match(JSON.stringify(await drift()), /no filter of its VNI/);
    // Another overlay of this host, which is not ours.
    await run('ip', 'link', 'add', 'foreign', 'type', 'vxlan', 'id', '99', 'dstport', '4789', 'local', own);
    await run('ip', 'link', 'set', 'foreign', 'address', '02:00:5f:00:00:99', 'up');
    await realized(dp, segmentAsk({ self, peers: [second], networks: [] }));
    assert.equal([await passes(peer), await passes(other)], [true, false]);
    const foreign = await received('-4', 'foreign');
    await run('ip', 'netns', 'exec', other, 'perl', '-e', sender, own, '99', '02005f000099');
    assert.ok((await received('-4', 'foreign')) > foreign, 'a VNI that is not ours is filtered');
  });

  test('a VPC that gets another number or goes takes its filter along; the table goes with the last', async () => {
    const dp = await opened;
    const tables = () => run('nft', 'list', 'tables');
    const sets = () => run('nft', 'list', 'table', 'inet', 'tst_underlay');
    await realized(dp, segmentAsk({ self, peers: [second], networks: [], vni: 7702 }));
    assert.match(await sets(), /0x1e16 comment/);
    assert.not.match(await sets(), /0x1e15/);
    const two = segmentAsk({
      self,
      owner: ownerOf('segment/acme/two@w1'),
      vpc: 'vpc/acme/two',
      vni: 7703,
      peers: [third],
      networks: [],
    });
    await realized(dp, two);
    await dp.removeSegment(ask.segment, nextCall());
    assert.not.match(await sets(), /0x1e16|10\.9\.2\.2/);
    assert.match(await sets(), /10\.9\.3\.2/);
    await dp.removeSegment(two.segment, nextCall());
    assert.not.match(await tables(), /underlay/);
    assert.equal(await dp.residue(), []);
  });
});

test.run();

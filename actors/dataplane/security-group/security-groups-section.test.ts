/**
 * Security groups on the real kernel: bad elements stop at the door, ports without groups are mute, rules and members
 * come in any order, changes made by hand are seen and repaired, nothing stays behind, and a namespace of an older
 * release gets the new tables without a gap.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Elements } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  openForTests,
  nextCall,
  openGroup,
  realized,
  segmentAsk,
  tapSpec,
} from '../dataplane-for-tests.ts';
import { combinationChain, groupChain, memberSet } from './group-chains.ts';
import { membersIn } from './group-members-section.ts';
import { addressOf, groupId, GroupVpc, rule, setId } from './groups-for-tests.ts';
import { groupsIn } from './security-groups-section.ts';

const ping = { protocol: 1, icmp: { type: 8, code: 0 } };
const everything = [rule({ direction: 'ingress' }), rule({ direction: 'egress' })];

test('a rule or a member that is none is refused before anything is made', () => {
  const whole = rule({ direction: 'ingress', protocol: 'tcp', ports: { from: 1, to: 65_535 } });
  assert.equal([...groupsIn({ [groupId('web')]: { rules: [whole] } }).values()], [[whole]]);
  const bad: readonly unknown[] = [
    { ...whole, ports: { from: 0, to: 80 } },
    { ...whole, ports: { from: 81, to: 80 } },
    { ...whole, ports: { from: 80, to: 65_536 } },
    { ...whole, ports: { from: '80; flush ruleset', to: 80 } },
    { ...whole, direction: 'forward' },
    { ...whole, protocol: 'tcp accept; flush ruleset' },
    { ...whole, protocol: 256, ports: null },
    { ...whole, protocol: 6, ports: null },
    { ...whole, protocol: 'icmp' },
    { ...whole, icmp: { type: 8, code: 0 } },
    { ...whole, remote: { cidr: '10.0.0.1/8' } },
    { ...whole, remote: { cidr: '0.0.0.0/0 }; drop' } },
    { ...whole, remote: { cidr: '::/0' } },
    { ...whole, remote: { group: 'web' } },
    { ...whole, remote: { group: setId('web') } },
    { ...whole, remote: { group: 'security-group/acme/a b' } },
    { ...whole, remote: { addressSet: '@as_x' } },
    { ...whole, remote: { cidr: '10.0.0.0/8', group: groupId('web') } },
    { ...whole, verdict: 'accept' },
  ];
  for (const one of bad)
    assert.throws(() => groupsIn({ [groupId('web')]: { rules: [one] } }), /spec is invalid/, JSON.stringify(one));
  const many = { rules: Array.from({ length: 201 }, () => whole) };
  const elements: readonly Elements[] = [
    { [groupId('web')]: many },
    { 'security-group/acme/web; flush ruleset': { rules: [] } },
    { web: { rules: [] } },
  ];
  for (const one of elements) assert.throws(() => groupsIn(one), /spec is invalid/, JSON.stringify(one).slice(0, 80));
  assert.is(membersIn({ '10.0.0.1': { groups: [groupId('web')] } }).size, 1);
  const members: readonly Elements[] = [
    { '10.0.0.01': { groups: [] } },
    { '10.0.0.0/24': { groups: [] } },
    { '10.0.0.1 }; flush ruleset': { groups: [] } },
    { '10.0.0.1': { groups: ['web'] } },
    { '10.0.0.1': { groups: [groupId('web'), groupId('web')] } },
    { '10.0.0.1': { groups: ['a', 'b', 'c', 'd', 'e', 'f'].map(groupId) } },
    { '10.0.0.1': [] },
  ];
  for (const one of members) assert.throws(() => membersIn(one), /spec is invalid/, JSON.stringify(one));
});

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();

  test('a port without groups gets its address, and sends and receives nothing', async () => {
    const vpc = await GroupVpc.make(await opened, { groups: { [groupId('all')]: everything } });
    try {
      await vpc.wire(11);
      await vpc.wire(12, 'all');
      await vpc.wire(13, 'all');
      assert.is((await vpc.guest(11).ask({ do: 'dhcp' }))['address'], addressOf(11));
      const passed = await Promise.all([vpc.passes(11, 12, ping), vpc.passes(12, 11, ping), vpc.passes(12, 13, ping)]);
      assert.equal(passed, [false, false, true]);
      // Two groups admit what each of them admits.
      await vpc.wire(11, 'all', 'none');
      assert.ok(await vpc.passes(11, 12, ping));
      await vpc.remove(11, 'all', 'none');
      await vpc.remove(12, 'all');
      await vpc.remove(13, 'all');
      const left = await vpc.inside('nft', 'list', 'table', 'inet', 'sg');
      assert.not.match(left, /c[ie]_/, 'a combination of groups that no port has');
      assert.equal(left.match(/chain g[ie]_/g)?.length, 2, `chains of groups that are gone: ${left}`);
    } finally {
      await vpc.close();
    }
  });

  test('rules, members, address sets and ports come in any order and go in any order', async () => {
    const dp = await opened;
    const vpc = await GroupVpc.make(dp);
    try {
      const web = rule({ direction: 'ingress', protocol: 'tcp', remote: { group: groupId('client') } });
      const office = rule({ direction: 'ingress', protocol: 'udp', remote: { addressSet: setId('office') } });
      const [tcp, udp] = [
        { protocol: 6, ports: [4_000, 80] as const },
        { protocol: 17, ports: [4_000, 53] as const },
      ];
      await vpc.wire(11, 'client');
      await vpc.wire(12, 'web');
      assert.not.ok(await vpc.passes(11, 12, tcp), 'nobody told of the groups yet');
      await vpc.change('security-groups', {
        [groupId('web')]: { rules: [web, office] },
        [groupId('client')]: { rules: [rule({ direction: 'egress' })] },
      });
      assert.equal(await vpc.passing(11, 12, [tcp, udp]), [false, false], 'nobody is a member yet');
      await vpc.change('group-members', { [addressOf(11)]: { groups: [groupId('client')] } });
      assert.equal(await vpc.passing(11, 12, [tcp, udp]), [true, false]);
      await vpc.change('address-sets', { [setId('office')]: { cidrs: ['10.77.1.8/29'] } });
      assert.equal(await vpc.passing(11, 12, [tcp, udp]), [true, true]);
      // The set goes while a rule names it, the group while a port has it.
      await vpc.change('address-sets', {}, { [setId('office')]: { cidrs: ['10.77.1.8/29'] } });
      assert.equal(await vpc.passing(11, 12, [tcp, udp]), [true, false]);
      assert.match(await vpc.inside('nft', 'list', 'table', 'inet', 'sg'), /set as_/);
      await vpc.change('security-groups', {}, { [groupId('web')]: { rules: [web, office] } });
      assert.equal(await vpc.passing(11, 12, [tcp, udp]), [false, false]);
      assert.not.match(await vpc.inside('nft', 'list', 'table', 'inet', 'sg'), /set as_/);
      await vpc.remove(12, 'web');
      await vpc.remove(11, 'client');
      await vpc.change('group-members', {}, { [addressOf(11)]: { groups: [groupId('client')] } });
      await vpc.change('security-groups', {}, { [groupId('client')]: { rules: [rule({ direction: 'egress' })] } });
      await vpc.change('security-groups', {}, { [openGroup]: { rules: [] } });
      assert.not.match(await vpc.inside('nft', 'list', 'table', 'inet', 'sg'), /(g[iem]|c[ie]|as)_/);
    } finally {
      await vpc.close();
    }
  });

  test('a section that stands is not touched, and one that was changed by hand is seen and repaired', async () => {
    const dp = await opened;
    const world = {
      groups: { [groupId('web')]: [rule({ direction: 'ingress', remote: { group: groupId('web') } })] },
      members: { [addressOf(11)]: [groupId('web')], [addressOf(12)]: [groupId('web')] },
      addressSets: { [setId('office')]: ['192.0.2.0/24'] },
    };
    const vpc = await GroupVpc.make(dp, world);
    try {
      const nft = (...words: string[]) => vpc.inside('nft', ...words);
      const before = await nft('list', 'ruleset');
      await realized(dp, segmentAsk(world));
      assert.is(await nft('list', 'ruleset'), before, 'the second time something was changed');
      const byHand: readonly (readonly [string, RegExp])[] = [
        [`flush chain inet sg ${groupChain('ingress', groupId('web'))}`, /the rules of .*web are not as wanted/],
        [`add rule inet sg ${groupChain('egress', groupId('web'))} accept`, /the rules of .*web are not as wanted/],
        [`flush set inet sg ${memberSet(groupId('web'))}`, /10\.77\.1\.11 is not in its security groups/],
        [`add element inet sg ${memberSet(groupId('web'))} { 10.77.1.99 }`, /^\{\}$/],
        ['delete table inet sg', /firewall skeleton[^]*office is not as wanted/],
      ];
      for (const [statement, seen] of byHand) {
        await nft(statement);
        assert.match(await vpc.drift(world), seen, statement);
        await realized(dp, segmentAsk(world));
        assert.is(await vpc.drift(world), '{}', statement);
        assert.not.match(await nft('list', 'ruleset'), /10\.77\.1\.99/);
      }
      const spec = tapSpec(11, { groups: [groupId('web')] });
      await vpc.wire(11, 'web');
      for (const statement of [
        `flush chain inet sg ${combinationChain('ingress', spec.groups)}`,
        `insert rule inet sg ${combinationChain('egress', spec.groups)} accept`,
        `delete element inet sg egress_ports { ${spec.address} }`,
        `flush map inet sg ingress_ports; add element inet sg ingress_ports { ${spec.address} : accept }`,
      ]) {
        await nft(statement);
        const { drift, proof } = await dp.readTap(spec, nextCall());
        assert.equal(drift, ['its security groups do not apply'], statement);
        assert.equal(proof?.groups, statement.startsWith('insert') ? spec.groups : [], statement);
        await vpc.wire(11, 'web');
        assert.equal((await dp.readTap(spec, nextCall())).drift, []);
      }
      assert.equal((await dp.readTap(tapSpec(11, { groups: [] }), nextCall())).drift, [
        'its security groups do not apply',
      ]);
      assert.is(await codeOf(dp.wireTap(tapSpec(11, { groups: ['web; flush ruleset'] }), nextCall())), 'spec_invalid');
      await vpc.remove(11, 'web');
    } finally {
      await vpc.close();
    }
  });

  test('a namespace of an older release gets the new tables without a gap, and its flows go on', async () => {
    const dp = await opened;
    const world = { groups: { [groupId('all')]: everything } };
    const vpc = await GroupVpc.make(dp, world);
    const dns = (source: number, target: number) => ({ protocol: 17, ports: [source, target] as const });
    try {
      await vpc.wire(11, 'all');
      await vpc.wire(12, 'all');
      // As the release before security groups had it; it knows port 12 alone.
      await vpc.inside(
        'nft',
        `delete table inet sg; add table inet sg; add map inet sg inmap { type ipv4_addr : verdict; }; ` +
          `add chain inet sg in_x; add rule inet sg in_x accept; ` +
          `add chain inet sg forward { type filter hook forward priority 0; policy drop; }; ` +
          `add rule inet sg forward ct state established,related accept; ` +
          `add rule inet sg forward ip daddr vmap @inmap; add element inet sg inmap { 10.77.1.12 : goto in_x }`,
      );
      assert.ok(await vpc.passes(11, 12, dns(5_000, 53)));
      assert.ok(await vpc.passes(12, 11, dns(53, 5_000)));
      assert.match(await vpc.drift(world), /of an older release/);
      // Port 11 is closed before and after, so nothing may come through to it.
      let making = true;
      const made = realized(dp, segmentAsk(world)).finally(() => (making = false));
      // It is awaited below; when an assertion fails before, it ends with the test.
      made.catch(() => {});
      let sent = 0;
      while (making) {
        const passed = await vpc.passing(
          12,
          11,
          Array.from({ length: 20 }, () => dns(6_000 + (sent += 1), 53)),
        );
        assert.not.ok(passed.includes(true));
      }
      await made;
      assert.ok(sent > 0);
      assert.is(await vpc.drift(world), '{}');
      const table = await vpc.inside('nft', 'list', 'table', 'inet', 'sg');
      assert.not.match(table, /inmap|in_x|chain forward/);
      // The policy of a new chain comes a moment late.
      for (const chain of ['egress', 'ingress'])
        assert.match(table, new RegExp(`chain ${chain} \\{[^}]*\\n\\s+drop\\n`));
      assert.equal(await vpc.passing(12, 11, [dns(53, 5_000)]), [true], 'the flow that ran');
      assert.not.ok(await vpc.passes(11, 12, dns(5_001, 53)), 'its ports were not wired with groups yet');
      await vpc.wire(11);
      await vpc.wire(12, 'all');
      assert.not.ok(await vpc.passes(11, 12, dns(5_000, 53)), 'a flow from before that its groups do not admit');
      await vpc.remove(11);
      await vpc.remove(12, 'all');
    } finally {
      await vpc.close();
    }
  });
});

test.run();

/**
 * Section `service-ips` as a section: bad elements stop at the door, what stands is not touched, changes made by hand
 * are seen and repaired, nothing stays behind, and tables of many service IPs are read and changed like those of few.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ServiceIpElement } from '@photoncloud/machines/values/service-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inOwnNamespaces, openForTests, nextCall } from '../dataplane-for-tests.ts';
import { rule } from '../security-group/groups-for-tests.ts';
import { serviceSet } from '../security-group/group-chains.ts';
import { backendMap } from './service-rules.ts';
import { servicesIn } from './service-ips-section.ts';
import { serviceAsk, serviceId, serviceOf, ServiceVpc } from './service-vpc-for-tests.ts';

const web = serviceId('web');
const port = { protocol: 'tcp', port: 80, targetPort: 8080 } as const;

test('an element that is no service IP is refused before anything is made', () => {
  const good = serviceOf({ backends: ['10.77.1.9', '10.77.1.21'] });
  assert.equal(servicesIn({ [web]: good }).get(web)?.backends, ['10.77.1.9', '10.77.1.21']);
  const bad: readonly object[] = [
    { address: '10.77.1.200; flush ruleset' },
    { address: '10.77.1.200/32' },
    { address: '10.77.1.0200' },
    { address: '127.0.0.1' },
    { address: '169.254.64.1' },
    { address: '224.0.0.1' },
    { address: '0.0.0.0' },
    { address: '::1' },
    { ports: [] },
    { ports: [{ ...port, port: 0 }] },
    { ports: [{ ...port, targetPort: 65_536 }] },
    { ports: [{ ...port, targetPort: '8080; flush ruleset' }] },
    { ports: [{ ...port, protocol: 'sctp' }] },
    { ports: [{ ...port, protocol: 'tcp dport 1 accept; tcp' }] },
    { ports: [port, { ...port, targetPort: 9 }] },
    { ports: Array.from({ length: 17 }, (_, index) => ({ ...port, port: index + 1 })) },
    { ports: [{ ...port, verdict: 'accept' }] },
    { backends: ['10.77.1.21 }; flush ruleset; {'] },
    { backends: ['10.77.1.21', '10.77.1.21'] },
    { backends: ['10.77.1.200'] },
    { backends: ['127.0.0.1'] },
    { backends: ['169.254.64.2'] },
    { backends: '10.77.1.21' },
    { backends: Array.from({ length: 65 }, (_, index) => `10.77.2.${index + 1}`) },
    { affinity: 'client' },
    { map: '@x' },
  ];
  for (const more of bad)
    assert.throws(() => servicesIn({ [web]: { ...good, ...more } }), /spec is invalid/, JSON.stringify(more));
  const elements: readonly Elements[] = [
    { 'service-ip/acme/a b': good },
    { 'security-group/acme/web': good },
    { 'service-ip/acme/web; flush ruleset': good },
    { web: good },
    { [web]: good, [serviceId('same')]: good },
    { [web]: null },
  ];
  for (const one of elements) assert.throws(() => servicesIn(one), /spec is invalid/, JSON.stringify(one).slice(0, 80));
});

/** Its lines in an order of their own: what was made again stands last. */
const linesOf = (listing: string): string => listing.split('\n').sort().join('\n');

const many = (count: number, more: Partial<ServiceIpElement> = {}): Record<string, ServiceIpElement> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      serviceId(`many-${index}`),
      serviceOf({
        address: `10.90.${Math.floor(index / 250)}.${(index % 250) + 1}`,
        ports: [port, { protocol: 'udp', port: 53, targetPort: 5353 }],
        backends: ['10.77.1.21', '10.77.1.22', '10.77.1.23', '10.77.1.24'],
        ...more,
      }),
    ]),
  );

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  let generation = 1;

  async function ensured(services: Readonly<Record<string, ServiceIpElement>>, groups = {}): Promise<void> {
    const ask = serviceAsk({ services, generation: (generation += 1), ...groups });
    assert.equal((await (await opened).realizeSegment(ask, nextCall())).failed, {});
  }

  test('what stands is not touched, and what was changed by hand is seen and repaired', async () => {
    const services = {
      [web]: serviceOf({ backends: ['10.77.1.21', '10.77.1.22'] }),
      [serviceId('sticky')]: serviceOf({ address: '10.77.1.201', backends: ['10.77.1.21'], affinity: 'source' }),
      [serviceId('empty')]: serviceOf({ address: '10.77.1.202' }),
    };
    const vpc = await ServiceVpc.make(await opened, { services });
    const nft = (...words: string[]) => vpc.inside('nft', ...words);
    const before = await nft('list', 'ruleset');
    assert.is(await vpc.drift(services), '{}');
    await ensured(services);
    assert.is(await nft('list', 'ruleset'), before, 'the second time something was changed');
    const standing = linesOf(await nft('list', 'table', 'ip', 'service'));
    const chain = /10\.77\.1\.200 : goto (sv_\w+)/.exec(before)?.[1] ?? '';
    const sticky = backendMap(serviceId('sticky'));
    const byHand: readonly (readonly [string, RegExp])[] = [
      [`flush chain ip service ${chain}`, /web has other rules/],
      [`add rule ip service ${chain} tcp dport 22 dnat to 10.77.1.99:22`, /web has other rules/],
      [`flush chain ip service prerouting`, /leads to no service IP/],
      [`flush chain ip service refuse`, /leads to no service IP/],
      [`delete element ip service services { 10.77.1.200 }`, /web does not lead/],
      [`delete element ip service addresses { 10.77.1.202 }`, /empty is not known/],
      [`delete element ip service ${backendMap(web)} { 1 }`, /web has other backends/],
      [
        `delete element ip service ${sticky} { 7 }; add element ip service ${sticky} { 7 : 10.77.1.99 }`,
        /sticky has other backends/,
      ],
      [`delete table ip service`, /web is not known/],
    ];
    for (const [statement, words] of byHand) {
      await nft(statement);
      assert.match(await vpc.drift(services), words, statement);
      await ensured(services);
      assert.is(await vpc.drift(services), '{}', statement);
    }
    await vpc.inside('ip', 'route', 'delete', 'local', '10.77.1.200', 'dev', 'lo');
    assert.match(await vpc.drift(services), /web has no local route/);
    await nft(`add map ip service sb_left { typeof numgen inc mod 256 : ip daddr; }; add chain ip service sv_left`);
    await nft(
      `add element ip service addresses { 10.9.9.9 }; add element ip service services { 10.9.9.9 : goto sv_left }`,
    );
    await vpc.inside('ip', 'route', 'add', 'local', '10.9.9.8', 'dev', 'lo', 'proto', 'static');
    await ensured(services);
    assert.is(linesOf(await nft('list', 'table', 'ip', 'service')), standing, 'it is not as it was');
    assert.match(await vpc.inside('ip', 'route', 'show', 'table', 'local', '10.77.1.200'), /10\.77\.1\.200/);
    assert.is(await vpc.inside('ip', 'route', 'show', 'table', 'local', '10.9.9.8'), '');
    await ensured({});
    assert.not.match(await nft('list', 'ruleset'), /ip service/);
    assert.not.match(await vpc.inside('ip', 'route', 'show', 'table', 'local'), /static/);
  });

  test('an increment is proven, and refused alone when it is none', async () => {
    const dp = await opened;
    const vpc = await ServiceVpc.make(dp);
    const { segment } = serviceAsk();
    const change = async (put: Elements, removed: Elements = {}) =>
      dp.changeSegment({ segment, changes: [{ section: 'service-ips', to: 9, put, removed }] }, nextCall());
    const one = serviceOf({ backends: ['10.77.1.21'] });
    assert.equal(await change({ [web]: one }), { proven: { 'service-ips': 9 }, failed: {} });
    const bad = { ...one, backends: ['10.77.1.21; flush ruleset'] };
    assert.is((await change({ [web]: bad })).failed['service-ips']?.code, 'spec_invalid');
    assert.is(await vpc.drift({ [web]: one }), '{}');
    // One that has never been, and one that was put with another address meanwhile.
    const gone = { [serviceId('never')]: serviceOf({ address: '10.77.1.209', backends: ['10.77.1.21'] }) };
    assert.equal((await change({}, gone)).failed, {});
    assert.equal((await change({ [web]: { ...one, address: '10.77.1.210' } })).failed, {});
    assert.not.match(await vpc.inside('nft', 'list', 'table', 'ip', 'service'), /10\.77\.1\.200/);
    assert.equal((await change({}, { [web]: { ...one, address: '10.77.1.210' } })).failed, {});
    assert.not.match(await vpc.inside('nft', 'list', 'ruleset'), /ip service/);
    assert.equal((await change({}, { [web]: one })).failed, {});
  });

  test('the set that rules name follows the service IP in any order, and stands while a rule names it', async () => {
    const group = 'security-group/acme/default';
    const naming = { [group]: [rule({ direction: 'egress', remote: { serviceIp: web } })] };
    const vpc = await ServiceVpc.make(await opened, { groups: naming });
    const listed = () => vpc.inside('nft', 'list', 'sets', 'inet');
    assert.match(await listed(), new RegExp(`set ${serviceSet(web)} \\{\\s+type ipv4_addr\\s+\\}`));
    await vpc.change({ [web]: serviceOf() });
    assert.match(await listed(), /elements = \{ 10\.77\.1\.200 \}/);
    await vpc.change({ [web]: serviceOf({ address: '10.77.1.203' }) });
    assert.match(await listed(), /elements = \{ 10\.77\.1\.203 \}/);
    await vpc.changeSection('security-groups', { [group]: { rules: [] } });
    assert.not.match(await listed(), /si_/);
    await vpc.changeSection('security-groups', { [group]: { rules: naming[group] } });
    assert.match(await listed(), /elements = \{ 10\.77\.1\.203 \}/);
    await vpc.change({}, { [web]: serviceOf({ address: '10.77.1.203' }) });
    assert.not.match(await listed(), /10\.77\.1\.203/);
  });

  test('many service IPs are made, changed one by one, read and removed', async () => {
    const services = many(300);
    const vpc = await ServiceVpc.make(await opened, { services });
    assert.is(await vpc.drift(services), '{}');
    const id = serviceId('many-77');
    const fewer = { ...(services[id] as ServiceIpElement), backends: ['10.77.1.21', '10.77.1.30'] };
    await vpc.change({ [id]: fewer });
    assert.is(await vpc.drift({ ...services, [id]: fewer }), '{}');
    assert.match(await vpc.drift(services), /many-77 does not lead to its backends/);
    await ensured({ [id]: fewer });
    const left = await vpc.inside('nft', 'list', 'table', 'ip', 'service');
    assert.equal([left.match(/map sb_/g)?.length, left.match(/chain sv_/g)?.length], [1, 1]);
    await ensured({});
  });
});

test.run();

/** Pools of a subnet and address pairs of ports in the in-memory test system: who gets what, what hosts are told. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withNetwork } from './cloud-for-tests.ts';

test('pools change in place: what is allocated stays, the next address comes from the new pool', async () => {
  const { actors } = await withNetwork();
  const addressAfter = async (port: string, spec: object = {}) => {
    const asked = actors.ask(`port/acme/${port}`, 'create', { network: 'front', ...spec });
    await actors.settle();
    const answer = actors.answers.get(asked) as { result?: { address: string }; code?: string };
    return answer.result?.address ?? answer.code;
  };
  const pooled = async (pools: readonly object[] | null) => {
    const asked = actors.ask('network/acme/front', 'update', { subnets: [{ cidr: '10.0.0.0/24', pools }] });
    await actors.settle();
    assert.equal(actors.answers.get(asked)?.ok, true, JSON.stringify(actors.answers.get(asked)));
  };
  assert.is(await addressAfter('a'), '10.0.0.5');
  await pooled([{ from: '10.0.0.40', to: '10.0.0.41' }]);
  assert.is(await addressAfter('b'), '10.0.0.40');
  assert.is(await addressAfter('c'), '10.0.0.41');
  assert.is(await addressAfter('d'), 'addresses_exhausted');
  assert.is(await addressAfter('d', { address: '10.0.0.9' }), '10.0.0.9', 'outside of the pool, as requested');
  const verify = actors.ask('network/acme/front', 'verify', {});
  await actors.settle();
  const found = actors.answers.get(verify) as { result?: { used: number; outside: number; problems: string[] } };
  assert.equal([found.result?.used, found.result?.outside, found.result?.problems], [2, 2, []]);
  await pooled(null);
  assert.is(await addressAfter('e'), '10.0.0.42');
});

test('nobody else gets pairs of a port, other hosts have routes to them, and they change in place', async () => {
  const { actors, network } = await withNetwork();
  const tell = async (port: string, verb: string, spec: object) => {
    const asked = actors.ask(`port/acme/${port}`, verb, { network: 'front', ...spec });
    await actors.settle();
    const answer = actors.answers.get(asked) as { ok: boolean; code?: string; issues?: readonly { path: string }[] };
    return answer.ok ? 'ok' : `${answer.code} ${answer.issues?.[0]?.path}`;
  };
  const pairsOf = (binding: string) => network.taps.get(binding)?.spec.pairs?.map(({ address }) => address);
  const one = { host: 'w1', dnsName: 'web', addressPairs: [{ cidr: '10.0.0.16/31' }] };
  assert.is(await tell('one', 'create', one), 'ok');
  assert.is(await tell('two', 'create', { host: 'w2' }), 'ok');
  assert.is(actors.state('port/acme/one'), 'active');
  const routes = () =>
    network
      .routesOf('vpc/acme/main@w2')
      .map(([address]) => address)
      .sort();
  assert.equal(routes(), ['10.0.0.16', '10.0.0.17', '10.0.0.5']);
  assert.equal(pairsOf('binding/acme/one@w1'), ['10.0.0.16', '10.0.0.17']);
  assert.is(network.taps.get('binding/acme/one@w1')?.spec.hostname, 'web');
  const members = Object.keys(network.elementsOf('vpc/acme/main@w2', 'group-members')).sort();
  assert.equal(members, ['10.0.0.16', '10.0.0.17', '10.0.0.5', '10.0.0.6']);
  assert.is(await tell('three', 'create', { address: '10.0.0.17' }), 'address_taken spec.address');
  assert.is(
    await tell('two', 'update', { host: 'w2', addressPairs: [{ cidr: '10.0.0.17' }] }),
    'address_taken spec.addressPairs.0.cidr',
  );
  assert.is(await tell('two', 'update', { host: 'w2', dnsName: 'web' }), 'dns_name_taken spec.dnsName');
  assert.equal(pairsOf('binding/acme/two@w2'), []);
  const calls = network.calls.filter((call) => call.startsWith('createTap')).length;
  const changed = { ...one, addressPairs: [{ cidr: '10.0.0.17' }, { cidr: '10.0.0.30' }] };
  assert.is(await tell('one', 'update', changed), 'ok');
  assert.equal(routes(), ['10.0.0.17', '10.0.0.30', '10.0.0.5']);
  assert.is(network.calls.filter((call) => call.startsWith('createTap')).length, calls, 'no new tap');
  assert.equal(actors.context('port/acme/one')['observedGeneration'], 2);
  actors.ask('port/acme/one', 'delete');
  await actors.settle();
  assert.equal([actors.state('port/acme/one'), routes()], [undefined, []]);
  const verify = actors.ask('network/acme/front', 'verify', {});
  await actors.settle();
  const found = actors.answers.get(verify) as { result?: { used: number; problems: string[] } };
  assert.equal([found.result?.used, found.result?.problems], [1, []]);
  assert.is(await tell('two', 'update', { host: 'w2', dnsName: 'web' }), 'ok', 'the name is free');
});

test.run();

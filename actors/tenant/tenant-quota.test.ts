/** Quotas among the actors that keep them: a tenant counts what it owns, a network its ports. No host is needed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clusterDefinition } from '../cluster/cluster-actor.ts';
import { networkDefinition } from '../network/network-actor.ts';
import { ActorTroupe } from '../port/actor-troupe-for-tests.ts';
import { portDefinition } from '../port/port-actor.ts';
import { vpcDefinition } from '../vpc/vpc-actor.ts';
import { tenantDefinition } from './tenant-actor.ts';

async function cluster(): Promise<ActorTroupe> {
  const kinds = [clusterDefinition, tenantDefinition, vpcDefinition, networkDefinition, portDefinition];
  const troupe = new ActorTroupe(kinds);
  troupe.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  await troupe.settle();
  return troupe;
}

test('a quota of ports holds however many are made at once, and again after one has gone', async () => {
  const troupe = await cluster();
  troupe.ask('tenant/small/small', 'create', { quota: { portsPerNetwork: 3 } });
  await troupe.settle();
  troupe.ask('network/small/a', 'create', { subnets: [{ cidr: '10.0.0.0/24' }] });
  troupe.ask('network/small/b', 'create', { subnets: [{ cidr: '10.0.1.0/24' }] });
  await troupe.settle();
  const make = (name: string, network = 'a'): string => troupe.ask(`port/small/${name}`, 'create', { network });
  const several = ['p1', 'p2', 'p3', 'p4', 'p5'].map((name) => make(name));
  await troupe.settle();
  const codes = several.map((command) => troupe.answers.get(command)?.code);
  assert.equal(codes, [undefined, undefined, undefined, 'quota_exceeded', 'quota_exceeded']);
  const refused = troupe.answers.get(several[3] ?? '');
  assert.equal(
    [refused?.message, refused?.issues?.[0]?.path],
    ['network/small/a has 3 of 3 ports; delete one, or use another network', 'spec.network'],
  );
  assert.is(troupe.state('port/small/p4'), undefined, 'nothing of it is left');
  troupe.ask('port/small/p2', 'delete');
  await troupe.settle();
  const [sixth, seventh, elsewhere] = [make('p6'), make('p7'), make('p8', 'b')];
  await troupe.settle();
  const after = [sixth, seventh, elsewhere].map((command) => troupe.answers.get(command)?.code);
  assert.equal(after, [undefined, 'quota_exceeded', undefined]);
});

test('a quota holds, and what is given back can be claimed again', async () => {
  const troupe = await cluster();
  troupe.ask('tenant/small/small', 'create', { quota: { network: 1 } });
  await troupe.settle();
  const make = async (name: string, cidr: string) => {
    const answer = troupe.ask(`network/small/${name}`, 'create', { subnets: [{ cidr }] });
    await troupe.settle();
    return troupe.answers.get(answer)?.code;
  };
  assert.is(await make('a', '10.0.0.0/24'), undefined);
  assert.is(await make('b', '10.0.1.0/24'), 'quota_exceeded');
  assert.is(troupe.state('network/small/b'), undefined);
  troupe.ask('network/small/a', 'delete');
  await troupe.settle();
  assert.is(await make('b', '10.0.0.0/24'), undefined);
});

test('what an earlier release has stored is taken up with the quota of ports that nobody could say then', () => {
  const stored = { state: 'active', context: { id: 'tenant/t/t', quota: { vpc: 5, network: 20, vm: 50 } } };
  const upgraded = tenantDefinition.upgrades?.[1]?.(stored).context as { quota: object };
  assert.equal(upgraded.quota, { vpc: 5, network: 20, vm: 50, portsPerNetwork: 4_000 });
  const network = networkDefinition.upgrades?.[1]?.({ state: 'ready', context: { ports: 3 } });
  assert.equal(network, { state: 'ready', context: { ports: 3, portQuota: 4_000 } });
});

test.run();

/** Quotas in the in-memory test system: a tenant counts its objects, a network its ports. No host is needed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clusterDefinition } from '../cluster/cluster-actor.ts';
import { networkDefinition } from '../network/network-actor.ts';
import { InMemoryActors } from '../port/in-memory-actors-for-tests.ts';
import { portDefinition } from '../port/port-actor.ts';
import { vpcDefinition } from '../vpc/vpc-actor.ts';
import { securityGroupDefinition } from '../security-group/security-group-actor.ts';
import { tenantDefinition } from './tenant-actor.ts';

async function cluster(): Promise<InMemoryActors> {
  const kinds = [
    clusterDefinition,
    tenantDefinition,
    vpcDefinition,
    securityGroupDefinition,
    networkDefinition,
    portDefinition,
  ];
  const actors = new InMemoryActors(kinds);
  actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  await actors.settle();
  return actors;
}

test('a quota of ports holds when many are created at once, and after one is deleted', async () => {
  const actors = await cluster();
  actors.ask('tenant/small/small', 'create', { quota: { portsPerNetwork: 3 } });
  await actors.settle();
  actors.ask('network/small/a', 'create', { subnets: [{ cidr: '10.0.0.0/24' }] });
  actors.ask('network/small/b', 'create', { subnets: [{ cidr: '10.0.1.0/24' }] });
  await actors.settle();
  const make = (name: string, network = 'a'): string => actors.ask(`port/small/${name}`, 'create', { network });
  const several = ['p1', 'p2', 'p3', 'p4', 'p5'].map((name) => make(name));
  await actors.settle();
  const codes = several.map((command) => actors.answers.get(command)?.code);
  assert.equal(codes, [undefined, undefined, undefined, 'quota_exceeded', 'quota_exceeded']);
  const refused = actors.answers.get(several[3] ?? '');
  assert.equal(
    [refused?.message, refused?.issues?.[0]?.path],
    ['network/small/a has 3 of 3 ports; delete one, or use another network', 'spec.network'],
  );
  assert.is(actors.state('port/small/p4'), undefined, 'nothing of it is left');
  actors.ask('port/small/p2', 'delete');
  await actors.settle();
  const [sixth, seventh, elsewhere] = [make('p6'), make('p7'), make('p8', 'b')];
  await actors.settle();
  const after = [sixth, seventh, elsewhere].map((command) => actors.answers.get(command)?.code);
  assert.equal(after, [undefined, 'quota_exceeded', undefined]);
});

test('a quota holds, and released quota can be claimed again', async () => {
  const actors = await cluster();
  actors.ask('tenant/small/small', 'create', { quota: { network: 1 } });
  await actors.settle();
  const make = async (name: string, cidr: string) => {
    const answer = actors.ask(`network/small/${name}`, 'create', { subnets: [{ cidr }] });
    await actors.settle();
    return actors.answers.get(answer)?.code;
  };
  assert.is(await make('a', '10.0.0.0/24'), undefined);
  assert.is(await make('b', '10.0.1.0/24'), 'quota_exceeded');
  assert.is(actors.state('network/small/b'), undefined);
  actors.ask('network/small/a', 'delete');
  await actors.settle();
  assert.is(await make('b', '10.0.0.0/24'), undefined);
});

test.run();

/** Plans of desired states: what is created, changed, replaced, deleted, adopted or blocked, in which order and why. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { declaredKinds } from '../kinds.ts';
import { countsOf } from '../plan/plan-counts.ts';
import { idOf } from '../values/identifiers.ts';
import { issuesOfSet, desiredId, type DesiredObject } from './desired-objects.ts';
import { isChange, ownedAfter, planSteps, type LiveObject, type PlanInput } from './deployment-planner.ts';

const deployment = 'deployment/acme/web';
const other = 'deployment/acme/other';

function object(kind: string, name: string, spec: object = {}, more: Partial<DesiredObject> = {}): DesiredObject {
  const declared = declaredKinds.find((schema) => schema.kind === kind)?.declared;
  const whole = declared?.spec.parse(spec) as DesiredObject['spec'];
  const metadata = { labels: {}, protect: false, deletionPolicy: 'delete', movedFrom: null } as const;
  return { kind, tenant: 'acme', name, spec: whole, ...metadata, ...more };
}

const live = (of: DesiredObject, more: Partial<LiveObject> = {}): LiveObject => {
  const { spec, labels, protect } = of;
  const id = desiredId(of);
  const usual = { managedBy: deployment, stateName: 'ready', loss: null };
  return { id, base: `base of ${id}`, spec, labels, protect, ...usual, ...more };
};

function input(
  objects: readonly DesiredObject[],
  existing: readonly LiveObject[] = [],
  more: Partial<PlanInput> = {},
): PlanInput {
  const owned = Object.fromEntries(
    existing.filter(({ managedBy }) => managedBy === deployment).map(({ id }) => [id, 'delete' as const]),
  );
  const found = new Map(existing.map((one) => [one.id, one]));
  return {
    deployment,
    prune: false,
    adopt: false,
    objects,
    live: found,
    owned,
    deployments: new Set([other]),
    ...more,
  };
}

const said = (of: PlanInput): readonly string[] => planSteps(of).map(({ id, action }) => `${action} ${id}`);

const vpc = object('vpc', 'edge');
const net = object('network', 'front', { vpc: 'edge', subnets: [{ cidr: '10.0.0.0/24' }] });
const port = object('port', 'p', { network: 'front' });
const set = object('address-set', 'office', { cidrs: ['192.0.2.0/24'] });
const image = object('image', 'linux', { source: { path: 'file:///srv/x' }, format: 'kernel' });

test('an object is created after those that it names, and deleted before them', () => {
  assert.equal(said(input([port, net, vpc])), [
    'create vpc/acme/edge',
    'create network/acme/front',
    'create port/acme/p',
  ]);
  const all = [vpc, net, port].map((one) => live(one));
  const gone = ['delete port/acme/p', 'delete network/acme/front', 'delete vpc/acme/edge'];
  assert.equal(said(input([], all, { prune: true })), gone);
  assert.equal(said(input([], all)), [], 'without prune nothing is deleted');
});

test('what is as declared is a no-op, whatever the order of keys and fields that were left out', () => {
  const steps = planSteps(
    input(
      [vpc, net, port, set],
      [vpc, net, port, set].map((one) => live(one)),
    ),
  );
  assert.equal(steps.filter(isChange), []);
  assert.is(countsOf(steps).noOp, 4);
});

test('changes have their class, and labels and protection are compared, too', () => {
  const wider = object('address-set', 'office', { cidrs: ['192.0.2.0/24', '198.51.100.0/24'] }, { labels: { a: 'b' } });
  const [step] = planSteps(input([wider], [live(set)]));
  assert.is(step?.action, 'update');
  assert.equal(
    step?.changes.map(({ path, change }) => [path, change]),
    [
      ['spec.cidrs', 'in place'],
      ['labels', 'in place'],
    ],
  );
  const vm = (memoryMib: number) =>
    object('vm', 'w', { memoryMib, nics: [{ network: 'front' }], boot: { kernel: 'linux', initrd: 'linux' } });
  assert.equal(said(input([vm(256)], [live(vm(128))])), ['next start vm/acme/w']);
});

test('a field that cannot change: replaced where nothing is lost, blocked where data or a holder is', () => {
  const other4 = object('address-set', 'office', { ...set.spec, vpc: 'edge' });
  assert.equal(said(input([other4], [live(set)])), ['replace address-set/acme/office']);
  const shorter = object('network', 'front', { vpc: 'main', subnets: [{ cidr: '10.0.0.0/24' }] });
  const [step] = planSteps(input([shorter, port], [live(net), live(port)]));
  assert.is(step?.action, 'blocked');
  assert.match(step?.reason ?? '', /spec\.vpc cannot change while port\/acme\/p names it/);
  const another = object('image', 'linux', { source: { path: 'file:///srv/y' }, format: 'kernel' });
  assert.match(planSteps(input([another], [live(image)]))[0]?.reason ?? '', /would not have its data/);
  const kept = live(set, { protect: true });
  assert.match(planSteps(input([other4], [kept]))[0]?.reason ?? '', /it is protected/);
});

test('what was made with a tenant of the deployment is taken over without being asked', () => {
  const [tenant, main] = [object('tenant', 'acme'), object('vpc', 'main')];
  const made = live(main, { managedBy: null });
  assert.equal(said(input([tenant, main], [live(tenant), made])), ['no-op tenant/acme/acme', 'adopt vpc/acme/main']);
  const [step] = planSteps(input([main], [live(tenant, { managedBy: null }), made]));
  assert.match(step?.reason ?? '', /--adopt/);
});

test('only what nobody manages can be adopted, and only when asked', () => {
  const free = live(set, { managedBy: null });
  const [refused] = planSteps(input([set], [free]));
  assert.is(refused?.action, 'blocked');
  assert.match(refused?.reason ?? '', /--adopt/);
  assert.equal(said(input([set], [free], { adopt: true })), ['adopt address-set/acme/office']);
  const [foreign] = planSteps(input([set], [live(set, { managedBy: other })], { adopt: true }));
  assert.match(foreign?.reason ?? '', /managed by deployment\/acme\/other/);
  const orphan = live(set, { managedBy: 'deployment/acme/ended' });
  assert.equal(said(input([set], [orphan], { adopt: true })), ['adopt address-set/acme/office']);
});

test('pruning takes only what it manages now; what is protected or held blocks, what is retained stays', () => {
  const prune = (existing: LiveObject, more: Partial<PlanInput> = {}) =>
    planSteps(input([], [existing], { prune: true, owned: { [existing.id]: 'delete' }, ...more }));
  assert.is(prune(live(set))[0]?.action, 'delete');
  assert.equal(prune(live(set, { managedBy: null })), [], 'somebody took the mark away');
  assert.equal(prune(live(set, { managedBy: other })), []);
  assert.is(prune(live(set, { protect: true }))[0]?.action, 'blocked');
  assert.equal(prune(live(set), { owned: { [desiredId(set)]: 'retain' } }), []);
  const [held] = planSteps(input([port], [live(net), live(port)], { prune: true }));
  assert.is(held?.id, idOf('port', 'acme', 'p'));
  const network = planSteps(input([port], [live(net), live(port)], { prune: true })).at(-1);
  assert.match(network?.reason ?? '', /port\/acme\/p names it/);
});

test('a rename creates the new one, moves references, and deletes the old one without prune', () => {
  const moved = object('network', 'edge', { vpc: 'edge', subnets: [{ cidr: '10.1.0.0/24' }] }, { movedFrom: 'front' });
  const again = object('port', 'p2', { network: 'edge' }, { movedFrom: 'p' });
  const before = [live(net), live(port), live(vpc)];
  assert.equal(said(input([vpc, moved, again], before)), [
    'no-op vpc/acme/edge',
    'create network/acme/edge',
    'create port/acme/p2',
    'delete port/acme/p',
    'delete network/acme/front',
  ]);
  const done = [live(vpc), live(moved), live(again)];
  assert.equal(planSteps(input([vpc, moved, again], done)).filter(isChange), [], 'the second plan is empty');
  const bytes = object('image', 'linux-2', image.spec, { movedFrom: 'linux' });
  const steps = planSteps(input([bytes], [live(image)]));
  assert.equal([steps.length, steps[0]?.action], [1, 'blocked']);
});

test('what is pruned may be named until its holder is changed, which comes before', () => {
  const next = object('network', 'back', { vpc: 'edge', subnets: [{ cidr: '10.1.0.0/24' }] });
  const over = object('port', 'p', { network: 'back' });
  assert.equal(said(input([vpc, next, over], [live(vpc), live(net), live(port)], { prune: true })), [
    'no-op vpc/acme/edge',
    'create network/acme/back',
    'replace port/acme/p',
    'delete network/acme/front',
  ]);
});

test('what a VM needs until its next start blocks a deletion; what it has given up by then does not', () => {
  const kernel = (name: string) => object('image', name, { source: { path: `file:///srv/${name}` }, format: 'kernel' });
  const data = object('volume', 'data', { sizeMib: 8 });
  const vm = (boot: string, disks: readonly object[]) =>
    object('vm', 'web', { nics: [{ network: 'n' }], disks, boot: { kernel: boot, initrd: 'rd' } });
  const existing = [live(kernel('old')), live(kernel('new')), live(data), live(vm('old', [{ volume: 'data' }]))];
  const pruned = (wanted: DesiredObject, also: readonly DesiredObject[]) =>
    planSteps(input([wanted, kernel('new'), ...also], existing, { prune: true })).filter(isChange);
  const [next, kept] = pruned(vm('new', [{ volume: 'data' }]), [data]);
  assert.equal([next?.action, kept?.action, kept?.id], ['next start', 'blocked', 'image/acme/old']);
  assert.match(kept?.reason ?? '', /is to be deleted, and vm\/acme\/web names it/);
  const taken = pruned(vm('old', []), [kernel('old')]);
  assert.equal(
    taken.map(({ id, action }) => `${action} ${id}`),
    ['update vm/acme/web', 'delete volume/acme/data'],
  );
});

test('what is in use is counted, for the guard of deletions', () => {
  const used = live(port, { stateName: 'active' });
  assert.equal(countsOf(planSteps(input([], [used], { prune: true }))).inUse, 1);
  assert.equal(countsOf(planSteps(input([], [live(port, { stateName: 'unbound' })], { prune: true }))).inUse, 0);
});

test('what it manages afterwards: declared objects with their policy, and what is not pruned', () => {
  const kept = object('address-set', 'kept', { cidrs: [] }, { deletionPolicy: 'retain' });
  const before = input([kept, net], [live(set), live(net)]);
  assert.equal(ownedAfter(before, planSteps(before)), {
    'address-set/acme/office': 'delete',
    'address-set/acme/kept': 'retain',
    'network/acme/front': 'delete',
  });
  const pruning = input([kept, net], [live(set), live(net)], { prune: true });
  assert.not.ok('address-set/acme/office' in ownedAfter(pruning, planSteps(pruning)));
});

test('a set is refused with the path of each problem and the next step', () => {
  const group = (name: string, to: string) =>
    object('security-group', name, { rules: [{ direction: 'ingress', remote: { group: to } }] });
  const texts = (objects: readonly DesiredObject[], tenant: string | null = 'acme') =>
    issuesOfSet(objects, tenant).map(({ path, message }) => `${path} ${message}`);
  assert.equal(texts([vpc, net, port, set]), []);
  assert.match(texts([{ ...set, tenant: 'bits' }])[0] ?? '', /^objects\.0\.tenant is bits.*tenant acme/);
  assert.equal(texts([{ ...set, tenant: 'bits' }], null), []);
  assert.match(texts([set, set])[0] ?? '', /^objects\.1\.name .*declared by objects\.0/);
  assert.match(
    texts([set, { ...set, name: 'b', movedFrom: 'office' }])[0] ?? '',
    /^objects\.1\.movedFrom office is still/,
  );
  const circle = texts([group('a', 'b'), group('b', 'a')]);
  assert.match(circle[0] ?? '', /^objects\.0\.spec\.rules\S* .*security-group\/acme\/a -> security-group\/acme\/b -> /);
  assert.equal(texts([group('a', 'a')]), [], 'a group may name itself');
  const vm = object('vm', 'w', {
    nics: [{ network: 'n' }],
    boot: { kernel: 'k', initrd: 'i' },
    seed: { userData: 'x' },
  });
  assert.match(texts([vm])[0] ?? '', /^objects\.0\.spec\.seed\.userData is a secret.*photon apply -f/);
});

test.run();

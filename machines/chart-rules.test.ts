/**
 * Rules that every chart keeps (docs/architecture.md#rules-of-charts, docs/protocol.md), checked on all charts at
 * once. A state that nobody can explain, store, cancel or leave is found here, before a node refuses it at its start.
 * What a chart decides is tested beside each chart; this file only looks at how it is built.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AnyStateMachine } from 'xstate';
import {
  actionsOf,
  ancestry,
  effectsOf,
  guardsOf,
  isLeaf,
  isPassed,
  isTimer,
  listens,
} from './values/chart-parts-for-tests.ts';
import { nameOf, nodesOf, pathOf, type Chart, type ChartNode } from './values/chart-parts-for-tests.ts';
import { bornOf, moved, type Move } from './values/chart-driver-for-tests.ts';

function declarationsIn(file: string): ReadonlyMap<string, string> {
  const chunks = readFileSync(file, 'utf8')
    .split(/\btype: '/)
    .slice(1);
  return new Map(chunks.map((chunk) => [chunk.slice(0, chunk.indexOf("'")), chunk]));
}

const machines = import.meta.dirname;

async function chartOf(kind: string): Promise<Chart> {
  const folder = join(machines, kind);
  const exported = (await import(join(folder, `${kind}-machine.ts`))) as Record<string, AnyStateMachine>;
  const machine = Object.entries(exported).find(([name]) => name.endsWith('Machine'))?.[1];
  if (machine === undefined) throw new Error(`${kind}-machine.ts exports no chart`);
  const declarations = declarationsIn(join(folder, `${kind}-events.ts`));
  return {
    kind,
    machine,
    nodes: nodesOf(machine.root as unknown as ChartNode),
    events: [...declarations.keys()],
    declarations,
  };
}

/** Every folder of machines but this one. */
function allCharts(): Promise<readonly Chart[]> {
  const folders = readdirSync(machines, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const kinds = folders.map(({ name }) => name).filter((name) => name !== 'values' && name !== 'node_modules');
  return Promise.all(kinds.map(chartOf));
}

const charts = await allCharts();

test('there are charts', () => {
  for (const kind of ['cluster', 'host', 'agent', 'tenant', 'vpc', 'network', 'segment', 'port', 'binding']) {
    assert.ok(
      charts.some((chart) => chart.kind === kind),
      kind,
    );
  }
});

function rule(title: string, problemsOf: (chart: Chart) => readonly string[]): void {
  test(title, () => {
    const problems = charts.flatMap((chart) => problemsOf(chart).map((problem) => `${chart.kind}: ${problem}`));
    assert.equal(problems, []);
  });
}

rule('every state says what an operator should read', ({ nodes }) =>
  nodes
    .slice(1)
    .filter((node) => (node.description ?? '').length < 10)
    .map((node) => `${pathOf(node)} has no description`),
);

rule('actions, guards and delays are named', ({ nodes, machine }) =>
  nodes.flatMap((node) => [
    ...actionsOf(node)
      .filter(
        (action) =>
          !isTimer(action) &&
          (typeof action === 'function' || !((nameOf(action) ?? '') in machine.implementations.actions)),
      )
      .map((action) => `${pathOf(node)} has the action ${nameOf(action)}, which setup() does not name`),
    ...guardsOf(node)
      .filter((guard) => typeof guard === 'function' && !('check' in guard))
      .map(() => `${pathOf(node)} has an inline guard`),
    ...Object.keys(node.config.after ?? {})
      .filter((delay) => !(delay in machine.implementations.delays))
      .map((delay) => `${pathOf(node)} has the delay ${delay}, which setup() does not name`),
  ]),
);

rule('nothing is started inside a chart', ({ nodes, machine }) => [
  ...nodes.filter((node) => node.config.invoke !== undefined).map((node) => `${pathOf(node)} invokes`),
  ...nodes
    .filter((node) => node.type === 'history' || node.type === 'parallel')
    .map((node) => `${pathOf(node)} is ${node.type}`),
  ...Object.entries(machine.implementations.actions)
    .filter(([, made]) =>
      ['xstate.spawnChild', 'xstate.sendTo', 'xstate.emit', 'xstate.log'].includes(
        (made as { type?: string }).type ?? '',
      ),
    )
    .map(([name]) => `${name} starts or tells something by itself`),
]);

rule('a state that is passed through has a deadline, a steady one says so', ({ nodes }) =>
  nodes
    .filter((node) => isLeaf(node) && node.path.join() !== 'born' && !node.tags.includes('steady') && !isPassed(node))
    .filter((node) => !ancestry(node).some((each) => Object.keys(each.config.after ?? {}).length > 0))
    .map((node) => `${pathOf(node)} is neither steady nor has a deadline`),
);

rule('every state can be left, and every chart can be entered', ({ nodes }) =>
  nodes
    .filter((node) => isLeaf(node) && !ancestry(node).some((each) => each.transitions.size > 0))
    .map((node) => `${pathOf(node)} cannot be left`),
);

rule('effects are entry actions', (chart) =>
  chart.nodes.flatMap((node) => {
    const elsewhere = actionsOf(node).slice(node.entry.length).map(nameOf);
    return effectsOf(chart)
      .filter((effect) => elsewhere.includes(effect))
      .map((effect) => `${pathOf(node)} asks for ${effect} outside entry`);
  }),
);

rule('every result of an effect is heard where it is asked for', (chart) =>
  chart.nodes.flatMap((node) => {
    const around = [...ancestry(node), ...nodesOf(node)];
    const asked = effectsOf(chart).filter((effect) => node.entry.map(nameOf).includes(effect));
    return asked.flatMap((effect) =>
      ['done', 'failed', 'unknown']
        .map((result) => `${effect}.${result}`)
        .filter((event) => !around.some((each) => listens(each, event)))
        .map((event) => `${pathOf(node)} does not hear ${event}`),
    );
  }),
);

/** Told to a chart that has nothing to do about it; its definition lists it as ignored. */
const leftAlone: Readonly<Record<string, readonly string[]>> = { vm: ['port.active'] };

rule('events declared are heard, and events heard are declared', ({ kind, nodes, events }) => {
  const heard = new Set(
    nodes.flatMap((node) => [...node.transitions.keys()]).filter((event) => !event.startsWith('xstate.')),
  );
  return [
    ...events
      .filter((event) => !heard.has(event) && leftAlone[kind]?.includes(event) !== true)
      .map((event) => `${event} is declared and nobody listens`),
    ...[...heard].filter((event) => !events.includes(event)).map((event) => `${event} is heard and not declared`),
  ];
});

const hostFacts = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const failure = { code: 'x', message: 'x happened', retryable: true };
const owner = { actor: 'x', uid: '', runEpoch: 1 };
const rowless = new Proxy({}, { get: () => null });

/** Fields of all events at once; where kinds disagree about a field, the event's declaration says which it is. */
const fields = {
  name: 'n',
  port: 'port/t/p',
  holder: 'vm/t/v',
  vpc: 'vpc/t/main',
  vm: 'vm/t/v',
  image: 'i',
  path: '/srv/x',
  kind: 'vm',
  claimant: 'vm/t/v',
  requester: 'incarnation/t/v@w1',
  boot: 'b',
  runEpoch: 1,
  generation: 1,
  address: null,
  mac: null,
  index: 1,
  vni: 5000,
  subnets: [{ cidr: '10.0.0.0/24' }],
  added: [],
  removed: [],
  direct: false,
  uid: 'u',
  tap: 't',
  reason: 'r',
  detail: 'd',
  nics: [],
  disks: [],
  running: true,
  restart: 'never',
  schedulable: true,
  silent: false,
  cpus: 1,
  memoryMib: 64,
  volumeHosts: [],
  graceMs: 0,
  prefixLength: 24,
  gateway: '10.0.0.1',
  proof: { generation: 1, sizeBytes: 1, sha256: 'a', virtualSizeBytes: 1 },
  facts: {
    ...hostFacts,
    cpus: 2,
    memoryMib: 4096,
    qemuVersion: '10',
    kvm: false,
    allowedRoots: ['/srv'],
    peerUrl: 'https://w1',
  },
  spec: {
    owner,
    vpc: 'vpc/t/main',
    vni: 5000,
    self: hostFacts,
    peers: [],
    networks: [],
    routes: [],
    generation: 1,
    runEpoch: 1,
    nics: [],
    disks: [],
  },
};
const networkSpec = {
  network: 'network/t/n',
  uid: 'u',
  subnets: [],
  mtu: 1450,
  dhcp: { leaseSeconds: 1, dns: [], domain: null, ntp: [] },
};

function eventOf({ declarations }: Chart, type: string, isFinal: boolean, at: number) {
  const declared = declarations.get(type) ?? '';
  const host = declared.includes('host: HostFacts') ? hostFacts : 'w1';
  const network = declared.includes('network: NetworkSpec') ? networkSpec : 'network/t/n';
  const meta = { at: at * 1_000, ulid: `U${at}`, from: 'x/t/y', rows: rowless };
  return { ...fields, host, network, error: { ...failure, retryable: !isFinal }, type, meta };
}

test('what a chart remembers survives being stored, wherever a random walk leads', () => {
  const seed = Number(fc.sample(fc.integer({ min: 1, max: 2 ** 31 - 1 }), 1)[0]);
  for (const chart of charts) {
    const { kind, machine, events, nodes } = chart;
    const timers = nodes
      .flatMap((node) => [...node.transitions.keys()])
      .filter((event) => event.startsWith('xstate.after'));
    const step = fc.tuple(fc.constantFrom(...events, ...timers), fc.boolean());
    const seen = new Set<string>();
    const walk = fc.property(fc.array(step, { minLength: 8, maxLength: 40 }), (steps) => {
      let snapshot = bornOf(machine, `${kind}/t/n@w1`);
      for (const [at, [type, isFinal]] of steps.entries()) {
        const event = eventOf(chart, type, isFinal, at);
        const stored = JSON.parse(
          JSON.stringify({ value: snapshot.value, context: snapshot.context }),
        ) as typeof snapshot;
        const next = triedTo(() => moved(machine, snapshot, event));
        // a chart that cannot read these fields throws; the host would park such a message
        if (next === undefined) continue;
        const again = moved(machine, machine.resolveState(stored as never), event);
        assert.equal(shown(again), shown(next), `${kind} at step ${at}`);
        snapshot = next.snapshot;
        seen.add(next.state);
        if (snapshot.status !== 'active') break;
      }
    });
    fc.assert(walk, { numRuns: 100, seed });
    assert.ok(seen.size >= 2, `${kind}: the walks never left ${[...seen].join()}`);
  }
});

const shown = (move: Move): string => JSON.stringify([move.state, move.snapshot.context, move.asked]);

function triedTo(make: () => Move): Move | undefined {
  try {
    const move = make();
    return move.snapshot.status === 'error' ? undefined : move;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return undefined;
  }
}

test.run();

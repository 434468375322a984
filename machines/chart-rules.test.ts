/**
 * Rules that every chart keeps (docs/architecture.md#rules-of-charts), checked for all folders of machines: structure
 * of the chart, agreement of the chart with its schema (values/kind.ts), and agreement of the schemas of all kinds with
 * each other. What a chart decides is tested beside each chart.
 */
// test limit: 150 s
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import { z } from 'zod';
import { allKinds, sendersOf } from './kinds.ts';
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
import { bornOf, moved, stateOf, type AskedFor, type Move } from './values/chart-driver-for-tests.ts';
import type { TestEvent } from './values/decision-table-for-tests.ts';
import { reasonOf } from './values/conditions.ts';
import { failureSchema, type Failure } from './values/failures.ts';
import { misfit, type KindSchema } from './values/kind.ts';
import { samplesOf } from './values/schema-samples-for-tests.ts';

const machines = import.meta.dirname;

async function chartOf(schema: KindSchema): Promise<Chart> {
  const { kind } = schema;
  const exported = (await import(join(machines, kind, `${kind}-machine.ts`))) as Record<string, AnyStateMachine>;
  const machine = Object.entries(exported).find(([name]) => name.endsWith('Machine'))?.[1];
  if (machine === undefined) throw new Error(`${kind}-machine.ts exports no chart`);
  return { kind, machine, schema, nodes: nodesOf(machine.root as unknown as ChartNode) };
}

const charts = await Promise.all(allKinds.map(chartOf));

test('every folder of machines is a kind of machines/kinds.ts, and every kind has its folder', () => {
  const folders = readdirSync(machines, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const kinds = folders.map(({ name }) => name).filter((name) => name !== 'values' && name !== 'node_modules');
  assert.equal(kinds.toSorted(), charts.map(({ kind }) => kind).toSorted());
});

function rule(title: string, problemsOf: (chart: Chart) => readonly string[]): void {
  test(title, () => {
    const problems = charts.flatMap((chart) => problemsOf(chart).map((problem) => `${chart.kind}: ${problem}`));
    assert.equal(problems, []);
  });
}

rule('every state has a description for operators', ({ nodes }) =>
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
    .map(([name]) => `${name} spawns or sends by itself`),
]);

rule('every state has the tag steady or a deadline', ({ nodes }) =>
  nodes
    .filter((node) => isLeaf(node) && node.path.join() !== 'born' && !node.tags.includes('steady') && !isPassed(node))
    .filter((node) => !ancestry(node).some((each) => Object.keys(each.config.after ?? {}).length > 0))
    .map((node) => `${pathOf(node)} is neither steady nor has a deadline`),
);

rule('every state can be left, and every chart can be entered', ({ nodes }) =>
  nodes
    .filter(
      (node) =>
        isLeaf(node) && !ancestry(node).some(({ transitions, always }) => transitions.size > 0 || always !== undefined),
    )
    .map((node) => `${pathOf(node)} cannot be left`),
);

rule('effects are entry actions', (chart) =>
  chart.nodes.flatMap((node) => {
    const elsewhere = actionsOf(node).slice(node.entry.length).map(nameOf);
    return effectsOf(chart)
      .filter((effect) => elsewhere.includes(effect))
      .map((effect) => `${pathOf(node)} requests ${effect} outside an entry action`);
  }),
);

rule('every result of an effect is handled in the state that requests the effect', (chart) =>
  chart.nodes.flatMap((node) => {
    const around = [...ancestry(node), ...nodesOf(node)];
    const asked = effectsOf(chart).filter((effect) => node.entry.map(nameOf).includes(effect));
    return asked.flatMap((effect) =>
      ['done', 'failed', 'unknown']
        .map((result) => `${effect}.${result}`)
        .filter((event) => !around.some((each) => listens(each, event)))
        .map((event) => `${pathOf(node)} does not handle ${event}`),
    );
  }),
);

const declarationVerbs = ['create', 'apply', 'update', 'delete'];
const results = ['done', 'failed', 'unknown'];

const commandsOf = ({ kind, declared, commands }: KindSchema): readonly string[] =>
  [...(declared === undefined ? [] : declarationVerbs), ...Object.keys(commands)].map((verb) => `${kind}.${verb}`);
const resultsOf = ({ effects }: KindSchema): readonly string[] =>
  effects.flatMap(({ type }) => results.map((result) => `${type}.${result}`));
const eventsOf = (schema: KindSchema): readonly string[] => [
  ...schema.takes.map(({ type }) => type),
  ...resultsOf(schema),
  ...commandsOf(schema),
];

/** Delivered to a chart that does not handle it; its definition lists it as ignored. */
const leftAlone: Readonly<Record<string, readonly string[]>> = { vm: ['port.active'] };

rule('a chart handles the events of its schema and no others', ({ kind, nodes, schema }) => {
  const events = eventsOf(schema);
  const heard = new Set(
    nodes.flatMap((node) => [...node.transitions.keys()]).filter((event) => !event.startsWith('xstate.')),
  );
  return [
    ...events
      .filter((event) => !heard.has(event) && leftAlone[kind]?.includes(event) !== true)
      .map((event) => `${event} is in the schema, but no state handles it`),
    ...[...heard]
      .filter((event) => !events.includes(event))
      .map((event) => `${event} is handled, but is not in the schema`),
  ];
});

rule('every effect of the schema is an entry action, and no other effect is', ({ nodes, machine, schema, kind }) => {
  const asked = new Set(nodes.flatMap(({ entry }) => entry.map(nameOf)));
  const known = schema.effects.map(({ type }) => type);
  return [
    ...known.filter((type) => !asked.has(type)).map((type) => `${type} is requested by no state`),
    ...effectsOf({ kind, machine, schema, nodes })
      .filter((type) => !known.includes(type))
      .map((type) => `${type} is an effect of the chart, but is not in the schema`),
  ];
});

rule('every state of a declared kind sets the condition Ready', ({ nodes, schema }) =>
  nodes
    .filter((node) => schema.declared !== undefined && isLeaf(node) && node.path.join() !== 'born' && !isPassed(node))
    .filter((node) => !ancestry(node).some(({ entry }) => entry.map(nameOf).includes('setCondition')))
    .map((node) => `${pathOf(node)} does not set the condition Ready`),
);

rule(
  'messages that start an actor or come from the node are among those that the kind takes',
  ({ schema: { takes, startedBy, fromNode } }) =>
    [...startedBy, ...fromNode]
      .filter((message) => !takes.includes(message))
      .map(({ type }) => `${type} is not among the messages taken`),
);

test('each event type has one meaning: one message of one shape, one effect of one kind, or one command', () => {
  const meanings = new Map<string, Set<unknown>>();
  const note = (type: string, meaning: unknown): void => {
    meanings.set(type, (meanings.get(type) ?? new Set()).add(meaning));
  };
  for (const schema of allKinds) {
    for (const message of [...schema.takes, ...schema.sends]) note(message.type, message);
    for (const effect of schema.effects) note(effect.type, effect);
    for (const type of [...commandsOf(schema), ...resultsOf(schema)]) note(type, `${type} of ${schema.kind}`);
  }
  assert.equal(
    [...meanings].filter(([, ones]) => ones.size > 1).map(([type]) => type),
    [],
  );
});

test('every message that a kind takes is sent by a kind or the node, and every message that is sent is taken', () => {
  const taken = new Set(allKinds.flatMap(({ takes }) => takes.map(({ type }) => type)));
  const problems = allKinds.flatMap(({ kind, takes, fromNode, sends }) => [
    ...takes
      .filter((message) => !sendersOf.has(message.type) && !fromNode.includes(message))
      .map(({ type }) => `${kind} takes ${type}, which no kind sends`),
    ...sends.filter(({ type }) => !taken.has(type)).map(({ type }) => `${kind} sends ${type}, which no kind takes`),
  ]);
  assert.equal(problems, []);
});

const byKind = new Map(allKinds.map((schema) => [schema.kind, schema]));

/** An actor's id in the random walks below. */
const sampleId = ({ kind, placement }: KindSchema): string =>
  placement === 'pinned' ? `${kind}/t/n@w1` : `${kind}/t/n`;

const none = z.object({});

/** The fields of an event, by its type. */
function fieldsOf(schema: KindSchema): ReadonlyMap<string, z.ZodType> {
  const { declared, commands, kind, effects, takes } = schema;
  const labels = z.object({ tier: z.enum(['db', 'web']).optional() });
  const declaration = declared === undefined ? none : z.object({ spec: declared.spec, labels, protect: z.boolean() });
  const error = z.object({ error: failureSchema });
  return new Map<string, z.ZodType>([
    ...takes.map((message) => [message.type, message.schema] as const),
    ...effects.flatMap(({ type, done }) => [
      [`${type}.done`, done] as const,
      [`${type}.failed`, error] as const,
      [`${type}.unknown`, error] as const,
    ]),
    ...(declared === undefined ? [] : declarationVerbs).map(
      (verb) => [`${kind}.${verb}`, verb === 'delete' ? none : declaration] as const,
    ),
    ...Object.entries(commands).map(([name, { params }]) => [`${kind}.${name}`, params] as const),
  ]);
}

/** Random events of a chart by type, timers included, in the form in which the runtime would deliver them. */
function samplesByType({ schema, nodes }: Chart): ReadonlyMap<string, fc.Arbitrary<object>> {
  const timers = nodes
    .flatMap((node) => [...node.transitions.keys()])
    .filter((event) => event.startsWith('xstate.after'));
  return new Map([
    ...[...fieldsOf(schema)].map(([type, fields]) => [type, samplesOf(fields) as fc.Arbitrary<object>] as const),
    ...timers.map((type) => [type, fc.constant({})] as const),
  ]);
}

/** What may start an actor. */
function startsOf({ kind, declared, commands, startedBy }: KindSchema): readonly string[] {
  const creating = Object.keys(commands).filter((name) => commands[name]?.creates === true);
  const verbs = [...(declared === undefined ? [] : ['create', 'apply']), ...creating];
  return [...startedBy.map(({ type }) => type), ...verbs.map((verb) => `${kind}.${verb}`)];
}

/**
 * Events that the runtime may deliver now, mostly those that the state handles; a result only of a requested effect.
 */
function dueIn({ nodes, schema }: Chart, snapshot: AnyMachineSnapshot, types: readonly string[]): readonly string[] {
  const path = `${stateOf(snapshot)}.`;
  const active = nodes.filter((node) => node.path.length === 0 || path.startsWith(`${node.path.join('.')}.`));
  const asked = active.flatMap(({ entry }) => entry.map(nameOf));
  const late = resultsOf(schema).filter((type) => !asked.includes(type.slice(0, type.lastIndexOf('.'))));
  const due = types.filter((type) => !late.includes(type));
  const heard = due.filter((type) => active.some((node) => listens(node, type)));
  // Those of the state itself lead on; in a chart with many states others would hardly leave the first ones.
  const near = heard.filter((type) => active.some((node) => node.path.length > 0 && listens(node, type)));
  return [...due, ...heard, ...heard, ...Array.from({ length: 8 }, () => near).flat()];
}

/** Answers every read of a row with null, and of a whole collection with an empty object. */
const rowless = new Proxy({}, { get: (_, name) => (String(name).endsWith('/*') ? {} : null) });

function metaOf(schema: KindSchema, type: string, at: number): object {
  const [sender] = [...(sendersOf.get(type) ?? [])].flatMap((kind) => byKind.get(kind) ?? []);
  return {
    at: at * 1_000,
    ulid: `U${at}`,
    era: 1 + Math.floor(at / 10),
    rows: rowless,
    ...(sender === undefined ? {} : { from: sampleId(sender) }),
    ...(commandsOf(schema).includes(type) ? { commandId: `C${at}` } : {}),
  };
}

/** Why a sent message is invalid: its sender does not declare it, or its addressee does not take it. */
function wrongMessage({ sends }: KindSchema, { type, params }: AskedFor): string | undefined {
  if (type !== 'send') return undefined;
  const { to, event } = params as { readonly to: string; readonly event: TestEvent };
  const message = sends.find((one) => one.type === event.type);
  if (message === undefined) return `${event.type} is not among the messages that the kind sends`;
  const addressee = byKind.get(to.split('/')[0] ?? '');
  if (addressee?.takes.includes(message) !== true) return `${event.type} goes to ${to}, which does not take it`;
  const problem = misfit(message.schema, event);
  return problem === undefined ? undefined : `${event.type} does not fit: ${problem}`;
}

/** Applies one event to an actor, and again to the actor after it was stored and loaded; both must agree. */
function stepped(
  { kind, machine, schema }: Chart,
  snapshot: AnyMachineSnapshot,
  event: TestEvent,
  trail: string,
): Move {
  const stored = JSON.parse(JSON.stringify({ value: snapshot.value, context: snapshot.context })) as typeof snapshot;
  const next = moved(machine, snapshot, event);
  assert.is(next.snapshot.error, undefined, `${kind}: ${trail}`);
  const wrong = next.asked.flatMap((asked) => wrongMessage(schema, asked) ?? []);
  assert.equal(wrong, [], `${kind}: ${trail}: ${wrong.join()}`);
  const again = moved(machine, machine.resolveState(stored as never), event);
  assert.equal(shown(again), shown(next), `${kind}: ${trail}`);
  return next;
}

test('on random walks, snapshots survive storing, messages fit their schemas, and states of trouble say why', () => {
  // The same walks in each run, so that a change is judged by itself; another seed walks elsewhere.
  const seed = Number(process.env['PHOTON_WALK_SEED'] ?? 1);
  for (const chart of charts) {
    const { kind, machine, schema } = chart;
    const samples = samplesByType(chart);
    const seen = new Set<string>();
    const untold = new Set<string>();
    const walk = fc.property(fc.gen(), (draw) => {
      let snapshot = bornOf(machine, sampleId(schema));
      const trail: string[] = [];
      for (let at = 0; at < 40 && snapshot.status === 'active'; at += 1) {
        const types = at === 0 ? startsOf(schema) : dueIn(chart, snapshot, [...samples.keys()]);
        const type = draw(() => fc.constantFrom(...types));
        const fields = draw(() => samples.get(type) as fc.Arbitrary<object>);
        trail.push(type);
        const event = { ...fields, type, meta: metaOf(schema, type, at) };
        const next = stepped(chart, snapshot, event, trail.join(', '));
        snapshot = next.snapshot;
        seen.add(next.state);
        if (promisesReason(chart, next.state) && reasonIn(next.snapshot.context as object) === null)
          untold.add(`${kind} is ${next.state} after ${type}`);
      }
    });
    const states = chart.nodes.filter(isLeaf).map(pathOf);
    const numRuns = Math.max(240, 12 * states.length);
    fc.assert(walk, { numRuns, seed, includeErrorInReport: true, endOnFailure: true });
    assert.equal([...untold], [], 'states of trouble that do not say why');
    assert.ok(seen.size >= states.length / 4, `${kind}: the walks saw only ${[...seen].join()} of ${states.join()}`);
  }
});

/** States of trouble, by their names or by a description that promises the reason. */
function promisesReason({ kind, nodes }: Chart, state: string): boolean {
  const description = nodes.find((node) => node.path.join('.') === state)?.description ?? '';
  const name = state.split('.').at(-1) ?? '';
  const isTrouble = /^(failed|refused|rejected|stuck|degraded|unplaced|stalled|.*[bB]ackoff)$/.test(name);
  return isTrouble || /failure (says|names|shows)/.test(description)
    ? !withoutReason.includes(`${kind} ${state}`)
    : false;
}

/** The failure shows whether its host is fenced; usually it is not. */
const withoutReason = ['volume available', 'volume held.attached'];

/** An incarnation keeps apart why it ended and why it does not go on; its view shows either. */
const reasonIn = (context: { readonly stall?: Failure | null; readonly failure?: Failure | null }): string | null =>
  reasonOf(context) ?? context.stall?.message ?? null;

const shown = (move: Move): string => JSON.stringify([move.state, move.snapshot.context, move.asked]);

test.run();

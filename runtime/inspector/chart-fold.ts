/**
 * Converts the chart IR to a drawing: boxes with rows, edges with label lines, chips (small boxes) on the frame.
 *
 * This file contains the rules that keep a chart of thirty transitions readable:
 *   - transitions of the root are chips on its frame, because otherwise an edge would leave every box;
 *   - failures, deadlines, or one event, that lead from four or more states to one target are rows in the source boxes;
 *   - a transition without a target, or to the state itself, an ancestor or a descendant, is a row;
 *   - transitions of one tone between the same two states share one edge.
 * Nothing is left out: every transition becomes exactly one row, chip or edge per target. Pure; called by the layout.
 */
import type { Chart, ChartAction, ChartState, ChartTransition } from './chart-ir.ts';

export type Tone = 'event' | 'timer' | 'always' | 'done' | 'failure';
export type SpanTone =
  Tone | 'guard' | 'action' | 'effect' | 'message' | 'answer' | 'row' | 'update' | 'target' | 'tag';

export interface Span {
  readonly text: string;
  readonly tone: SpanTone;
}
export type Line = readonly Span[];

export interface DrawnRow {
  readonly glyph: string;
  readonly line: Line;
  /** Ids of the transitions that this row shows; empty for entry and exit rows. */
  readonly transitions: readonly string[];
}

export interface DrawnBox {
  readonly state: ChartState;
  readonly rows: readonly DrawnRow[];
}

export interface DrawnEdge {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly tone: Tone;
  readonly lines: readonly Line[];
  readonly transitions: readonly string[];
  /** Of each line, the transition that it belongs to. */
  readonly lineTransitions: readonly string[];
}

export interface Drawing {
  readonly boxes: readonly DrawnBox[];
  readonly edges: readonly DrawnEdge[];
  readonly chips: readonly DrawnRow[];
}

export const glyphs = {
  effect: '⚙\uFE0E',
  message: '⇢',
  answer: '↩\uFE0E',
  row: '▤',
  timer: '◷',
  update: '·',
  exit: '⇤',
  into: '◂\uFE0E',
  failure: '✕\uFE0E',
  stays: '↺',
  event: '▸\uFE0E',
} as const;

/** When at least this many states have such a transition to one target, it is drawn as rows. */
const foldFrom = 4;
const actionsShown = 2;
/** The maximum number of characters for the event names in one merged row. */
const mergedEventsLength = 44;

export function foldChart(chart: Chart): Drawing {
  const folded = foldedGroups(chart);
  const into = new Map<string, Set<string>>();
  const rows = new Map<string, DrawnRow[]>(chart.states.map((state) => [state.id, entryRows(state)]));
  const edges = new Map<string, { tone: Tone; source: string; target: string; parts: ChartTransition[] }>();
  const chips: DrawnRow[] = [];
  for (const transition of chart.transitions) {
    const tone = toneOf(transition);
    if (transition.source === '') {
      addRow(chips, transitionRow(transition, tone));
      continue;
    }
    const drawnTargets = transition.targets.filter((target) => !isRow(transition, target, folded));
    if (drawnTargets.length < transition.targets.length || transition.targets.length === 0) {
      addRow(rows.get(transition.source) ?? [], transitionRow(transition, tone, drawnTargets));
      for (const target of transition.targets) {
        if (drawnTargets.includes(target) || isFamily(transition.source, target)) continue;
        into.set(target, (into.get(target) ?? new Set()).add(transition.source));
      }
    }
    for (const target of drawnTargets) {
      const key = `${transition.source}>${target}>${tone}`;
      const edge = edges.get(key) ?? { tone, source: transition.source, target, parts: [] };
      edge.parts.push(transition);
      edges.set(key, edge);
    }
  }
  for (const [target, from] of into) rows.get(target)?.push(intoRow(from.size));
  return {
    boxes: chart.states.map((state) => ({ state, rows: rows.get(state.id) ?? [] })),
    edges: [...edges.values()].map((edge, index) => ({
      id: `e${index}`,
      source: edge.source,
      target: edge.target,
      tone: edge.tone,
      lines: edge.parts.flatMap(labelLines),
      transitions: edge.parts.map((part) => part.id),
      lineTransitions: edge.parts.flatMap((part) => labelLines(part).map(() => part.id)),
    })),
    chips,
  };
}

/** Adds a row; rows that differ only in their event are merged: `vm.create, vm.delete / reject`. */
function addRow(rows: DrawnRow[], row: DrawnRow): void {
  const tail = (line: Line): string => JSON.stringify(line.slice(1));
  const [first] = row.line;
  const index = rows.findIndex(
    (other) =>
      other.transitions.length > 0 &&
      other.glyph === row.glyph &&
      other.line[0]?.tone === first?.tone &&
      tail(other.line) === tail(row.line) &&
      (other.line[0]?.text.length ?? 0) + (first?.text.length ?? 0) < mergedEventsLength,
  );
  const other = rows[index];
  if (other === undefined || first === undefined || row.line.length < 2) {
    rows.push(row);
    return;
  }
  const events: Span = { text: `${other.line[0]?.text}, ${first.text}`, tone: first.tone };
  rows[index] = {
    ...other,
    line: [events, ...row.line.slice(1)],
    transitions: [...other.transitions, ...row.transitions],
  };
}

export function toneOf(transition: ChartTransition): Tone {
  return transition.failure ? 'failure' : transition.kind;
}

const groupOf = (transition: ChartTransition, target: string): string => {
  const tone = toneOf(transition);
  return `${target}>${tone === 'failure' || tone === 'timer' ? tone : `${tone}:${transition.event}`}`;
};

function foldedGroups(chart: Chart): ReadonlySet<string> {
  const sources = new Map<string, Set<string>>();
  for (const transition of chart.transitions) {
    if (transition.source === '' || transition.kind === 'always' || transition.kind === 'done') continue;
    for (const target of transition.targets) {
      if (isFamily(transition.source, target)) continue;
      const group = groupOf(transition, target);
      sources.set(group, (sources.get(group) ?? new Set()).add(transition.source));
    }
  }
  return new Set([...sources].filter(([, from]) => from.size >= foldFrom).map(([group]) => group));
}

function isRow(transition: ChartTransition, target: string, folded: ReadonlySet<string>): boolean {
  return isFamily(transition.source, target) || folded.has(groupOf(transition, target));
}

/** Whether the states are equal or one contains the other: an edge from a box to its own frame would be unreadable. */
function isFamily(source: string, target: string): boolean {
  return source === target || isWithin(source, target) || isWithin(target, source);
}

/** Whether `id` lies strictly inside `ancestor`. */
export function isWithin(id: string, ancestor: string): boolean {
  return ancestor === '' ? id !== '' : id.startsWith(`${ancestor}.`);
}

function entryRows(state: ChartState): DrawnRow[] {
  const rows: DrawnRow[] = [];
  for (const role of ['effect', 'timer', 'message', 'answer', 'row', 'update'] as const) {
    const names = countedNames(state.entry.filter((action) => action.role === role));
    if (names.length === 0) continue;
    const lines = role === 'effect' ? names : [names.join(', ')];
    for (const text of lines) {
      const tone: SpanTone = role === 'timer' ? 'timer' : role;
      rows.push({ glyph: glyphs[role], line: [{ text, tone }], transitions: [] });
    }
  }
  if (state.exit.length > 0) {
    const text = `on exit: ${countedNames(state.exit).join(', ')}`;
    rows.push({ glyph: glyphs.exit, line: [{ text, tone: 'action' }], transitions: [] });
  }
  return rows;
}

/** Names with counts: `send, send, reply` becomes `send ×2, reply`. */
export function countedNames(actions: readonly ChartAction[]): string[] {
  const counts = new Map<string, number>();
  for (const action of actions) counts.set(action.name, (counts.get(action.name) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count === 1 ? name : `${name} ×${count}`));
}

function transitionRow(transition: ChartTransition, tone: Tone, elsewhere: readonly string[] = []): DrawnRow {
  const rest = transition.targets.filter((target) => !elsewhere.includes(target));
  const stays = rest.every((target) => target === transition.source);
  const again = stays && transition.reenter && transition.targets.length > 0;
  const goal = stays ? 'itself' : rest.map(shortName).join(', ');
  const goes: Span[] = stays && !again ? [] : [{ text: ` → ${goal}`, tone: 'target' }];
  const glyph =
    tone === 'failure' ? glyphs.failure : tone === 'timer' ? glyphs.timer : stays ? glyphs.stays : glyphs.event;
  return {
    glyph,
    line: [{ text: transition.label, tone }, ...guardSpans(transition), ...goes, ...actionSpans(transition)],
    transitions: [transition.id],
  };
}

/** A row in the target's box that stands for the incoming transitions that are drawn as rows. */
const intoRow = (count: number): DrawnRow => ({
  glyph: glyphs.into,
  line: [{ text: `entered from ${count} states`, tone: 'update' }],
  transitions: [],
});

const shortName = (id: string): string => (id === '' ? 'initial state' : (id.split('.').at(-1) ?? id));

const guardSpans = (transition: ChartTransition): Span[] =>
  transition.guard === null ? [] : [{ text: ` [${transition.guard}]`, tone: 'guard' }];

/** Effects and messages come first, because readers look for them; context updates come last. */
const roleOrder = ['effect', 'message', 'timer', 'row', 'answer', 'update'] as const;

function actionSpans(transition: ChartTransition): Span[] {
  const sorted = [...transition.actions].sort((a, b) => roleOrder.indexOf(a.role) - roleOrder.indexOf(b.role));
  const names = countedNames(sorted);
  if (names.length === 0) return [];
  const more = names.length > actionsShown ? ` +${names.length - actionsShown}` : '';
  return [{ text: ` / ${names.slice(0, actionsShown).join(', ')}${more}`, tone: 'action' }];
}

function labelLines(transition: ChartTransition): Line[] {
  const label: Span = { text: transition.label, tone: toneOf(transition) };
  const guard = guardSpans(transition);
  const action = actionSpans(transition).map((span) => ({ ...span, text: span.text.trimStart() }));
  const first = transition.label.length + (guard[0]?.text.length ?? 0) > 34;
  const lines: Line[] = first
    ? [[label], guard.map((span) => ({ ...span, text: span.text.trimStart() }))]
    : [[label, ...guard]];
  if (action.length > 0) lines.push(action);
  return lines.filter((line) => line.length > 0);
}

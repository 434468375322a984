/**
 * Writes a laid-out chart as SVG: for the live page without a style sheet, which the pages' content policy forbids, and
 * for the documentation with one. Pure; every text of a machine is escaped, by `tag` and `textOf`.
 *
 * The page uses `data-state` on every state (once), and `data-edge` and `data-transitions` (space-separated ids) on
 * edges, rows and chips; where these show several transitions, `data-transition` on the text of each. Promise: every
 * state can be reached by keyboard and read by a screen reader.
 */
import type { DrawnRow, Line } from './chart-fold.ts';
import { metrics, tagText, type Area, type PlacedChip, type Point } from './chart-graph.ts';
import type { PlacedBox, PlacedChart, PlacedEdge, PlacedStart } from './chart-layout.ts';
import { chartCss } from './chart-style.ts';
import { textWidth } from './text-measure.ts';
import { themeCss } from './theme-tokens.ts';

export interface SvgOptions {
  /** Whether the SVG contains style and theme, for use outside the inspector's pages. */
  readonly standalone: boolean;
}

export const standaloneCss = `${themeCss('.chart')}\n${chartCss}`;

export function chartSvg(chart: PlacedChart, options: SvgOptions): string {
  const title = `State chart of ${chart.kind}`;
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    class: 'chart',
    viewBox: `0 0 ${chart.width} ${chart.height}`,
    width: chart.width,
    height: chart.height,
    role: 'tree',
    'aria-label': title,
  };
  const style = options.standalone ? `<style>${standaloneCss}</style>` : '';
  const inner = [
    `<title>${escapeXml(title)}</title>${style}`,
    tree(chart, '', 0),
    ...chart.starts.map(startMark),
    ...chart.edges.map(edgeLine),
    ...chart.edges.map(edgeLabel),
  ];
  return `${tag('svg', attributes, inner.join(''))}\n`;
}

const special = /[&<>"']/g;

/** Escapes XML 1.0 text and attribute values; control characters, which XML forbids, are replaced. */
export function escapeXml(text: string): string {
  const allowed = Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const forbidden = (code < 0x20 && ![0x09, 0x0a, 0x0d].includes(code)) || code === 0xfffe || code === 0xffff;
    return forbidden ? '\ufffd' : character;
  });
  return allowed.join('').replace(special, (character) => `&#${character.charCodeAt(0)};`);
}

type Attributes = Readonly<Record<string, string | number>>;

/** Numbers are px, rounded to a tenth; `inner` must already be markup. */
function tag(name: string, attributes: Attributes, inner = ''): string {
  const written = Object.entries(attributes).map(([key, value]) => {
    const text = typeof value === 'number' ? String(Math.round(value * 10) / 10) : escapeXml(value);
    return ` ${key}="${text}"`;
  });
  return inner === '' ? `<${name}${written.join('')}/>` : `<${name}${written.join('')}>${inner}</${name}>`;
}

const px = (value: number): string => String(Math.round(value * 10) / 10);

const rectangle = (className: string, { x, y, width, height }: Area, rx: number): string =>
  tag('rect', { class: className, x, y, width, height, rx });

function textOf(line: Line, x: number, y: number, transition?: string): string {
  const spans = line.map((span) => tag('tspan', { class: `tone-${span.tone}` }, escapeXml(span.text)));
  return tag('text', transition === undefined ? { x, y } : { x, y, 'data-transition': transition }, spans.join(''));
}

/** The text of a row; of one that shows several events, each is marked with its own transition. */
function rowText({ line, transitions }: DrawnRow, x: number, y: number): string {
  const [first, ...rest] = line;
  const names = first?.text.split(', ') ?? [];
  if (first === undefined || transitions.length < 2 || names.length !== transitions.length) return textOf(line, x, y);
  const tone = `tone-${first.tone}`;
  const events = names.map((name, index) => {
    const comma = index === 0 ? '' : tag('tspan', { class: tone }, ', ');
    return comma + tag('tspan', { class: tone, 'data-transition': transitions[index] ?? '' }, escapeXml(name));
  });
  const others = rest.map((span) => tag('tspan', { class: `tone-${span.tone}` }, escapeXml(span.text)));
  return tag('text', { x, y }, [...events, ...others].join(''));
}

const glyphMark = (row: DrawnRow, x: number, y: number): string =>
  tag('text', { class: `glyph tone-${row.line[0]?.tone ?? 'update'}`, x, y, 'aria-hidden': 'true' }, row.glyph);

function tree(chart: PlacedChart, id: string, depth: number): string {
  const box = chart.boxes.find((candidate) => candidate.state.id === id);
  if (box === undefined) return '';
  const children = box.state.children.map((child) => tree(chart, child, depth + 1));
  const inner = [...(id === '' ? chart.chips.map(chipMark) : []), ...children].join('');
  return boxMark(chart, box, depth, inner);
}

function chipMark(chip: PlacedChip): string {
  const baseline = chip.y + 15;
  const inner = [
    rectangle('plate', chip, 4),
    glyphMark(chip.row, chip.x + 8, baseline),
    rowText(chip.row, chip.x + metrics.glyphWidth + 4, baseline),
  ];
  return tag('g', { class: 'chip', 'data-transitions': chip.row.transitions.join(' ') }, inner.join(''));
}

function boxMark(chart: PlacedChart, box: PlacedBox, depth: number, inner: string): string {
  const { state } = box;
  const parent = chart.boxes.find((candidate) => candidate.state.id === state.parent);
  const classes = ['state', state.children.length > 0 ? 'compound' : 'leaf', depth % 2 === 0 ? 'even' : 'odd'];
  if (state.kind === 'final') classes.push('final');
  if (parent?.state.kind === 'parallel') classes.push('region');
  const name = state.id === '' ? chart.kind : state.id;
  const attributes = {
    class: classes.join(' '),
    'data-state': state.id,
    role: 'treeitem',
    tabindex: '-1',
    'aria-level': String(depth + 1),
    'aria-label': spokenName(name, box),
  };
  const second = { x: box.x + 3, y: box.y + 3, width: box.width - 6, height: box.height - 6 };
  const content = [
    `<title>${escapeXml(state.description === null ? name : `${name}: ${state.description}`)}</title>`,
    rectangle('frame', box, state.children.length > 0 ? 8 : 6),
    state.kind === 'final' ? rectangle('inner', second, 4) : '',
    boxTexts(box),
    inner === '' ? '' : tag('g', { role: 'group' }, inner),
  ];
  return tag('g', attributes, content.join(''));
}

function spokenName(name: string, box: PlacedBox): string {
  const tags = box.state.tags.length === 0 ? '' : `, ${box.state.tags.join(', ')}`;
  return `${name}, ${box.state.kind}${tags}${box.state.description === null ? '' : `: ${box.state.description}`}`;
}

function boxTexts(box: PlacedBox): string {
  const left = box.head.x + metrics.boxPadding;
  const top = box.head.y + 20;
  const tags = tagText(box.state);
  const tagX = left + textWidth(box.state.label, metrics.titlePx, 'bold') + metrics.tagGap;
  const width = (box.state.children.length === 0 ? box.width : box.head.width) - metrics.boxPadding * 2 + 12;
  const rows = box.rows.map((row, index) => {
    const y = box.head.y + metrics.titleHeight + 4 + index * metrics.rowHeight;
    const inner = [
      row.transitions.length === 0 ? '' : rectangle('mark', { x: left - 6, y, width, height: metrics.rowHeight }, 4),
      glyphMark(row, left, y + 13),
      rowText(row, left + metrics.glyphWidth, y + 13),
    ];
    return tag('g', { class: 'row', 'data-transitions': row.transitions.join(' ') }, inner.join(''));
  });
  return [
    tag('text', { class: 'title', x: left, y: top }, escapeXml(box.state.label)),
    tags === '' ? '' : tag('text', { class: 'tag', x: tagX, y: top }, escapeXml(tags)),
    ...rows,
  ].join('');
}

function startMark(start: PlacedStart): string {
  const half = start.width / 2;
  const circle = tag('circle', { class: 'start', cx: start.x + half, cy: start.y + half, r: half - 1 });
  return tag('g', { class: 'edge initial', 'aria-hidden': 'true' }, circle + routeMark(start.points));
}

const edgeAttributes = (edge: PlacedEdge, className: string): Attributes => ({
  class: `${className} ${edge.tone}`,
  'data-edge': edge.id,
  'data-transitions': edge.transitions.join(' '),
});

const edgeLine = (edge: PlacedEdge): string =>
  tag('g', { ...edgeAttributes(edge, 'edge'), 'aria-hidden': 'true' }, routeMark(edge.points));

/** Labels are drawn after all edges, so that no edge crosses a text. */
function edgeLabel(edge: PlacedEdge): string {
  const area = edge.label;
  if (area === null || edge.lines.length === 0) return '';
  const shared = edge.transitions.length > 1;
  const lines = edge.lines.map((line, index) => {
    const y = area.y + 13 + index * metrics.labelLineHeight;
    return textOf(line, area.x + metrics.labelPadding, y, shared ? edge.lineTransitions[index] : undefined);
  });
  return tag('g', edgeAttributes(edge, 'label edge'), rectangle('plate', area, 4) + lines.join(''));
}

const routeMark = (points: readonly Point[]): string => tag('path', { d: roundedPath(points) }) + arrowHead(points);

const cornerRadius = 6;

function roundedPath(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return '';
  let path = `M${px(first.x)} ${px(first.y)}`;
  rest.forEach((point, index) => {
    const before = index === 0 ? first : (rest[index - 1] as Point);
    const next = rest[index + 1];
    if (next === undefined) {
      path += `L${px(point.x)} ${px(point.y)}`;
      return;
    }
    const a = towards(point, before);
    const b = towards(point, next);
    path += `L${px(a.x)} ${px(a.y)}Q${px(point.x)} ${px(point.y)} ${px(b.x)} ${px(b.y)}`;
  });
  return path;
}

function towards(from: Point, to: Point): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  if (length === 0) return from;
  const step = Math.min(cornerRadius, length / 2) / length;
  return { x: from.x + (to.x - from.x) * step, y: from.y + (to.y - from.y) * step };
}

function arrowHead(points: readonly Point[]): string {
  const tip = points.at(-1);
  const before = points.at(-2);
  if (tip === undefined || before === undefined) return '';
  const angle = Math.atan2(tip.y - before.y, tip.x - before.x);
  const corner = (turn: number): string =>
    `${px(tip.x - 9 * Math.cos(angle + turn))} ${px(tip.y - 9 * Math.sin(angle + turn))}`;
  return tag('path', { class: 'head', d: `M${px(tip.x)} ${px(tip.y)}L${corner(0.4)}L${corner(-0.4)}Z` });
}

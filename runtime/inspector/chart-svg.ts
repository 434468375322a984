/**
 * A placed chart as an SVG string. The same text serves the live page (no style inside: the policy of the pages forbids
 * it) and the documentation (style inside). Pure; every text that comes from a machine is escaped.
 *
 * Handles for a page: `data-state` on every state (once), `data-edge` and `data-transitions` (space separated ids) on
 * edges, rows and chips. Upholds: everything drawn can be reached by keyboard and read by a screen reader.
 */
import type { Line } from './chart-fold.ts';
import { metrics, tagText, type PlacedBox, type PlacedChart, type PlacedEdge, type PlacedStart, type Point } from './chart-layout.ts';
import { chartCss } from './chart-style.ts';
import { textWidth } from './text-measure.ts';
import { themeCss } from './theme-tokens.ts';

export interface SvgOptions {
  /** Style and theme inside the file, for use outside the inspector's pages. */
  readonly standalone: boolean;
}

export const standaloneCss = `${themeCss('.chart')}\n${chartCss}`;

export function chartSvg(chart: PlacedChart, options: SvgOptions): string {
  const style = options.standalone ? `<style>${standaloneCss}</style>` : '';
  const title = escapeXml(`State chart of ${chart.kind}`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${chart.width} ${chart.height}"`,
    ` width="${chart.width}" height="${chart.height}" role="tree" aria-label="${title}">`,
    `<title>${title}</title>${style}`,
    tree(chart, ''),
    chart.starts.map(startMark).join(''),
    chart.edges.map(edgeLine).join(''),
    chart.edges.map(edgeLabel).join(''),
    '</svg>\n',
  ].join('');
}

/** XML 1.0 text and attribute values; control characters, which XML cannot hold, are replaced. */
export function escapeXml(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd').replace(/[&<>"']/g, (character) => {
    return `&#${character.charCodeAt(0)};`;
  });
}

const px = (value: number): string => String(Math.round(value * 10) / 10);

function tree(chart: PlacedChart, id: string, depth = 0): string {
  const box = chart.boxes.find((candidate) => candidate.state.id === id);
  if (box === undefined) return '';
  const inner = box.state.children.map((child) => tree(chart, child, depth + 1)).join('');
  const chips = id === '' ? chart.chips.map((chip) => {
    const row = textOf(chip.row.line, chip.x + metrics.glyphWidth + 4, chip.y + 15);
    return `<g class="chip" data-transitions="${chip.row.transitions.join(' ')}">${plate(chip)}` +
      `<text class="glyph" x="${px(chip.x + 8)}" y="${px(chip.y + 15)}" aria-hidden="true">${escapeXml(chip.row.glyph)}</text>${row}</g>`;
  }).join('') : '';
  return boxMark(chart, box, depth, chips + inner);
}

function boxMark(chart: PlacedChart, box: PlacedBox, depth: number, inner: string): string {
  const { state } = box;
  const parent = chart.boxes.find((candidate) => candidate.state.id === state.parent);
  const classes = ['state', state.children.length > 0 ? 'compound' : 'leaf', depth % 2 === 0 ? 'even' : 'odd'];
  if (state.kind === 'final') classes.push('final');
  if (parent?.state.kind === 'parallel') classes.push('region');
  const name = state.id === '' ? chart.kind : state.id;
  const rounded = state.children.length > 0 ? 8 : 6;
  const frame = `<rect class="frame" x="${px(box.x)}" y="${px(box.y)}" width="${px(box.width)}" height="${px(box.height)}" rx="${rounded}"/>`;
  const double = state.kind === 'final'
    ? `<rect class="inner" x="${px(box.x + 3)}" y="${px(box.y + 3)}" width="${px(box.width - 6)}" height="${px(box.height - 6)}" rx="4"/>`
    : '';
  return [
    `<g class="${classes.join(' ')}" data-state="${escapeXml(state.id)}" role="treeitem" tabindex="-1"`,
    ` aria-level="${depth + 1}" aria-label="${escapeXml(spokenName(name, box))}">`,
    `<title>${escapeXml(state.description === null ? name : `${name}: ${state.description}`)}</title>`,
    frame,
    double,
    boxTexts(box),
    inner === '' ? '' : `<g role="group">${inner}</g>`,
    '</g>',
  ].join('');
}

function spokenName(name: string, box: PlacedBox): string {
  const tags = box.state.tags.length === 0 ? '' : `, ${box.state.tags.join(', ')}`;
  return `${name}, ${box.state.kind}${tags}${box.state.description === null ? '' : `: ${box.state.description}`}`;
}

function boxTexts(box: PlacedBox): string {
  const left = box.head.x + metrics.boxPadding;
  const top = box.head.y + 20;
  const tag = tagText(box.state);
  const tagX = left + textWidth(box.state.label, metrics.titlePx, 'bold') + metrics.tagGap;
  const markWidth = (box.state.children.length === 0 ? box.width : box.head.width) - metrics.boxPadding * 2 + 12;
  const rows = box.rows.map((row, index) => {
    const y = box.head.y + metrics.titleHeight + 4 + index * metrics.rowHeight;
    const mark = row.transitions.length === 0 ? '' :
      `<rect class="mark" x="${px(left - 6)}" y="${px(y)}" width="${px(markWidth)}" height="${metrics.rowHeight}" rx="4"/>`;
    return `<g class="row" data-transitions="${row.transitions.join(' ')}">${mark}` +
      `<text class="glyph tone-${row.line[0]?.tone ?? 'update'}" x="${px(left)}" y="${px(y + 13)}" aria-hidden="true">` +
      `${escapeXml(row.glyph)}</text>${textOf(row.line, left + metrics.glyphWidth, y + 13)}</g>`;
  });
  return [
    `<text class="title" x="${px(left)}" y="${px(top)}">${escapeXml(box.state.label)}</text>`,
    tag === '' ? '' : `<text class="tag" x="${px(tagX)}" y="${px(top)}">${escapeXml(tag)}</text>`,
    ...rows,
  ].join('');
}

const textOf = (line: Line, x: number, y: number): string => {
  const spans = line.map((span) => `<tspan class="tone-${span.tone}">${escapeXml(span.text)}</tspan>`).join('');
  return `<text x="${px(x)}" y="${px(y)}">${spans}</text>`;
};

const plate = (area: { x: number; y: number; width: number; height: number }): string =>
  `<rect class="plate" x="${px(area.x)}" y="${px(area.y)}" width="${px(area.width)}" height="${px(area.height)}" rx="4"/>`;

function startMark(start: PlacedStart): string {
  const half = start.width / 2;
  return `<g class="edge initial" aria-hidden="true"><circle class="start" cx="${px(start.x + half)}" cy="${px(start.y + half)}" r="${half - 1}"/>` +
    `<path d="${roundedPath(start.points)}"/>${arrowHead(start.points)}</g>`;
}

const edgeAttributes = (edge: PlacedEdge): string =>
  `class="edge ${edge.tone}" data-edge="${edge.id}" data-transitions="${edge.transitions.join(' ')}"`;

function edgeLine(edge: PlacedEdge): string {
  return `<g ${edgeAttributes(edge)} aria-hidden="true"><path d="${roundedPath(edge.points)}"/>${arrowHead(edge.points)}</g>`;
}

/** Labels are drawn after all lines, so that no line runs through a text. */
function edgeLabel(edge: PlacedEdge): string {
  if (edge.label === null || edge.lines.length === 0) return '';
  const area = edge.label;
  const lines = edge.lines.map((line, index) =>
    textOf(line, area.x + metrics.labelPadding, area.y + 13 + index * metrics.labelLineHeight));
  return `<g ${edgeAttributes(edge).replace('class="edge', 'class="label edge')}>${plate(area)}${lines.join('')}</g>`;
}

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
  return `<path class="head" d="M${px(tip.x)} ${px(tip.y)}L${corner(0.4)}L${corner(-0.4)}Z"/>`;
}

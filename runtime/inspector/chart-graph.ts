/**
 * Converts a folded chart to a graph for elkjs: sizes of boxes, labels and chips in px, nesting, options. Pure; called
 * by chart-layout.ts. Promise: every text fits its box, because texts are measured before the layout.
 */
import type { ElkExtendedEdge, ElkLabel, ElkNode } from 'elkjs/lib/elk.bundled.js';
import type { Drawing, DrawnBox, DrawnEdge, DrawnRow, Line } from './chart-fold.ts';
import type { ChartState } from './chart-ir.ts';
import { textWidth } from './text-measure.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Area extends Point {
  readonly width: number;
  readonly height: number;
}
export interface PlacedChip extends Area {
  readonly row: DrawnRow;
}
/** All in px at scale 1. */
export const metrics = {
  titlePx: 14,
  textPx: 12,
  labelPx: 11.5,
  titleHeight: 26,
  rowHeight: 18,
  labelLineHeight: 15,
  labelPadding: 5,
  boxPadding: 12,
  glyphWidth: 20,
  chipHeight: 22,
  chipGap: 8,
  chipsWidth: 860,
  tagGap: 10,
  startSize: 12,
} as const;

export const rootNode = 'frame';
export const nodeId = (state: string): string => (state === '' ? rootNode : `s:${state}`);
/** A compound state's title and rows may be placed inside it as a box of their own, a note; see `layoutChart`. */
export const noteId = (state: string): string => `n:${state}`;
export const startId = (state: string): string => `i:${state}`;

const spacing: Readonly<Record<string, string>> = {
  'elk.algorithm': 'layered',
  'elk.direction': 'DOWN',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.spacing.nodeNode': '36',
  'elk.spacing.edgeNode': '18',
  'elk.spacing.edgeEdge': '14',
  'elk.spacing.edgeLabel': '4',
  'elk.spacing.labelLabel': '6',
  'elk.spacing.labelNode': '8',
  'elk.layered.spacing.nodeNodeBetweenLayers': '34',
  'elk.layered.spacing.edgeNodeBetweenLayers': '16',
  'elk.layered.spacing.edgeEdgeBetweenLayers': '12',
  'elk.layered.edgeLabels.sideSelection': 'SMART_DOWN',
  'elk.layered.unnecessaryBendpoints': 'true',
};

/** @param notes compound states whose title is a note. @returns a function that makes the graph for a set of options */
export function graphOf(
  drawing: Drawing,
  notes: ReadonlySet<string>,
): (options: Readonly<Record<string, string>>) => ElkNode {
  const order = new Map(drawing.boxes.map((box, index) => [box.state.id, index]));
  const boxes = new Map(drawing.boxes.map((box) => [box.state.id, box]));
  const chipArea = chipPlaces(drawing.chips);
  const build = (box: DrawnBox, options: Readonly<Record<string, string>>): ElkNode => {
    const header = headerOf(box);
    if (box.state.children.length === 0) return { id: nodeId(box.state.id), ...header };
    const noted = notes.has(box.state.id);
    const top = noted ? 22 : header.height + 14 + (box.state.id === '' ? chipArea.height : 0);
    const children = box.state.children.map((id) => build(boxes.get(id) as DrawnBox, options));
    if (box.state.initial !== null) {
      children.unshift({ id: startId(box.state.id), width: metrics.startSize, height: metrics.startSize });
    }
    if (noted) {
      children.unshift({
        id: noteId(box.state.id),
        ...header,
        layoutOptions: { 'elk.layered.layering.layerConstraint': 'FIRST' },
      });
    }
    return {
      id: nodeId(box.state.id),
      layoutOptions: {
        ...spacing,
        ...options,
        'elk.padding': `[top=${top},left=22,bottom=22,right=22]`,
        'elk.nodeSize.constraints': 'MINIMUM_SIZE',
        'elk.nodeSize.minimum': `(${Math.max(header.width, box.state.id === '' ? chipArea.width : 0)},${top + 20})`,
      },
      children,
    };
  };
  return (options) => {
    const root = drawing.boxes[0] as DrawnBox;
    return {
      id: 'page',
      layoutOptions: {
        ...spacing,
        ...options,
        'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
        'elk.json.edgeCoords': 'ROOT',
        'elk.json.shapeCoords': 'ROOT',
        'elk.padding': '[top=6,left=6,bottom=6,right=6]',
      },
      children: [build(root, options)],
      edges: [...startEdges(drawing), ...drawing.edges.map((edge) => elkEdge(edge, order))],
    };
  };
}

function startEdges(drawing: Drawing): ElkExtendedEdge[] {
  return drawing.boxes.flatMap(({ state }) =>
    state.initial === null
      ? []
      : [
          {
            id: `edge:${startId(state.id)}`,
            sources: [startId(state.id)],
            targets: [nodeId(state.initial)],
            layoutOptions: { 'elk.layered.priority.direction': '20' },
          },
        ],
  );
}

function elkEdge(edge: DrawnEdge, order: ReadonlyMap<string, number>): ElkExtendedEdge {
  const forward = (order.get(edge.source) ?? 0) < (order.get(edge.target) ?? 0);
  const labels: ElkLabel[] = edge.lines.length === 0 ? [] : [{ id: `label:${edge.id}`, ...labelSize(edge.lines) }];
  return {
    id: edge.id,
    sources: [nodeId(edge.source)],
    targets: [nodeId(edge.target)],
    labels: labels.map((label) => ({ ...label, text: edge.id })),
    layoutOptions: forward ? { 'elk.layered.priority.direction': '10' } : {},
  };
}

const lineWidth = (line: Line, fontPx: number): number =>
  line.reduce((sum, span) => sum + textWidth(span.text, fontPx), 0);

function labelSize(lines: readonly Line[]): { width: number; height: number } {
  const widest = Math.max(...lines.map((line) => lineWidth(line, metrics.labelPx)));
  return {
    width: widest + metrics.labelPadding * 2,
    height: lines.length * metrics.labelLineHeight + metrics.labelPadding,
  };
}

export const tagText = (state: ChartState): string => state.tags.join(' ');

/** The size of a whole leaf, or of the title and rows of a compound state. */
export function headerOf(box: DrawnBox): { width: number; height: number } {
  const tag = tagText(box.state);
  const tagWidth = tag === '' ? 0 : metrics.tagGap + textWidth(tag, metrics.labelPx);
  const title = textWidth(box.state.label, metrics.titlePx, 'bold') + tagWidth;
  const rows = box.rows.map((row) => metrics.glyphWidth + lineWidth(row.line, metrics.textPx));
  const rowsHeight = box.rows.length === 0 ? 0 : box.rows.length * metrics.rowHeight + 4;
  const least = box.state.children.length === 0 ? 90 : 0;
  return {
    width: Math.max(least, title, ...rows) + metrics.boxPadding * 2,
    height: metrics.titleHeight + rowsHeight + 8,
  };
}

/** Places chips in lines below the root's title; positions are relative to the root's top left corner. */
export function chipPlaces(chips: readonly DrawnRow[]): {
  places: readonly PlacedChip[];
  width: number;
  height: number;
} {
  let x: number = metrics.boxPadding;
  let y: number = metrics.titleHeight + 8;
  const places: PlacedChip[] = [];
  for (const row of chips) {
    const width = metrics.glyphWidth + lineWidth(row.line, metrics.textPx) + metrics.boxPadding;
    if (x > metrics.boxPadding && x + width > metrics.chipsWidth) {
      x = metrics.boxPadding;
      y += metrics.chipHeight + metrics.chipGap;
    }
    places.push({ row, x, y, width, height: metrics.chipHeight });
    x += width + metrics.chipGap;
  }
  const width = Math.max(0, ...places.map((place) => place.x + place.width + metrics.boxPadding));
  return {
    places,
    width,
    height: places.length === 0 ? 0 : y + metrics.chipHeight + metrics.chipGap - metrics.titleHeight,
  };
}

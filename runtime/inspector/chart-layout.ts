/**
 * Places a folded chart: elkjs layered, orthogonal edges, measured labels.
 *
 * Pure in effect (the same chart gives the same picture) but slow (hundreds of ms of CPU): called by layout-worker.ts and
 * by the documentation writer, never on a node's main thread while it serves. The options were found by trial:
 * DEPTH_FIRST must stand on every compound, and model-order strategies crash with INCLUDE_CHILDREN in elkjs 0.12.1.
 */
import ELK, { type ElkEdgeSection, type ElkExtendedEdge, type ElkLabel, type ElkNode } from 'elkjs/lib/elk.bundled.js';
import { PhotonError } from '../contract/errors.ts';
import type { Chart, ChartState } from './chart-ir.ts';
import { foldChart, type Drawing, type DrawnBox, type DrawnEdge, type DrawnRow, type Line } from './chart-fold.ts';
import { textWidth } from './text-measure.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Area extends Point {
  readonly width: number;
  readonly height: number;
}
export interface PlacedBox extends Area, DrawnBox {
  /** Where the title and the rows stand. */
  readonly head: Area;
}
export interface PlacedEdge extends DrawnEdge {
  readonly points: readonly Point[];
  readonly label: Area | null;
}
export interface PlacedStart extends Area {
  /** The compound it starts. */
  readonly state: string;
  readonly points: readonly Point[];
}
export interface PlacedChip extends Area {
  readonly row: DrawnRow;
}
export interface PlacedChart {
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  /** Parents before children. */
  readonly boxes: readonly PlacedBox[];
  readonly edges: readonly PlacedEdge[];
  readonly starts: readonly PlacedStart[];
  readonly chips: readonly PlacedChip[];
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

const rootNode = 'frame';
const nodeId = (state: string): string => (state === '' ? rootNode : `s:${state}`);
/** A compound's title and rows may stand inside it as a note; see `layoutChart`. */
const noteId = (state: string): string => `n:${state}`;
const startId = (state: string): string => `i:${state}`;

/**
 * Titles stand in the top left corner of their compound. Where an edge to a child would run through one, the chart is
 * laid out again with that title and its rows as a note: a box of its own that edges go round.
 * @throws PhotonError defeat `chart_layout_failed`
 */
export async function layoutChart(chart: Chart): Promise<PlacedChart> {
  const drawing = foldChart(chart);
  const notes = new Set<string>();
  for (;;) {
    const laid = await tryLayouts(graphOf(drawing, notes), chart.kind);
    const result = placed(chart.kind, drawing, laid);
    const crossed = result.boxes.filter((box) => !notes.has(box.state.id) && isCrossed(box, result)).map((box) => box.state.id);
    if (crossed.length === 0) return result;
    for (const id of crossed) notes.add(id);
  }
}

function isCrossed(box: PlacedBox, chart: PlacedChart): boolean {
  if (box.state.children.length === 0 || box.state.id === '') return false;
  return chart.edges.some(({ points }) => points.some((point, index) => index > 0 && touches(points[index - 1] as Point, point, box.head)));
}

/** Whether a horizontal or vertical piece of an edge runs through an area. */
function touches(a: Point, b: Point, area: Area): boolean {
  return Math.max(a.x, b.x) > area.x && Math.min(a.x, b.x) < area.x + area.width &&
    Math.max(a.y, b.y) > area.y && Math.min(a.y, b.y) < area.y + area.height;
}

/** The first that succeeds; the later ones give a plainer picture. */
const strategies: readonly Readonly<Record<string, string>>[] = [
  { 'elk.layered.cycleBreaking.strategy': 'DEPTH_FIRST', 'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX' },
  { 'elk.layered.cycleBreaking.strategy': 'DEPTH_FIRST', 'elk.layered.nodePlacement.strategy': 'BRANDES_KOEPF' },
  { 'elk.layered.cycleBreaking.strategy': 'GREEDY', 'elk.layered.nodePlacement.strategy': 'LINEAR_SEGMENTS' },
];

async function tryLayouts(graph: (options: Readonly<Record<string, string>>) => ElkNode, kind: string): Promise<ElkNode> {
  let last: unknown;
  for (const options of strategies) {
    try {
      return await new ELK.default().layout(graph(options));
    } catch (error) {
      last = error;
    }
  }
  const message = `The chart of ${kind} could not be laid out; its table is complete. Simplify the chart or report it.`;
  throw new PhotonError('defeat', 'chart_layout_failed', message, { cause: last });
}

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

function graphOf(drawing: Drawing, notes: ReadonlySet<string>): (options: Readonly<Record<string, string>>) => ElkNode {
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
      children.unshift({ id: noteId(box.state.id), ...header, layoutOptions: { 'elk.layered.layering.layerConstraint': 'FIRST' } });
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
      : [{
          id: `edge:${startId(state.id)}`,
          sources: [startId(state.id)],
          targets: [nodeId(state.initial)],
          layoutOptions: { 'elk.layered.priority.direction': '20' },
        }],
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

export function labelSize(lines: readonly Line[]): { width: number; height: number } {
  const widest = Math.max(...lines.map((line) => lineWidth(line, metrics.labelPx)));
  return { width: widest + metrics.labelPadding * 2, height: lines.length * metrics.labelLineHeight + metrics.labelPadding };
}

export const tagText = (state: ChartState): string => state.tags.join(' ');

/** The whole of a leaf; the title and rows of a compound. */
function headerOf(box: DrawnBox): { width: number; height: number } {
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

/** Chips wrap below the root's title; relative to the root's top left corner. */
function chipPlaces(chips: readonly DrawnRow[]): {
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
  return { places, width, height: places.length === 0 ? 0 : y + metrics.chipHeight + metrics.chipGap - metrics.titleHeight };
}

function placed(kind: string, drawing: Drawing, laid: ElkNode): PlacedChart {
  const nodes = new Map<string, ElkNode>();
  const walk = (node: ElkNode): void => {
    nodes.set(node.id, node);
    node.children?.forEach(walk);
  };
  walk(laid);
  const edges = new Map((laid.edges ?? []).map((edge) => [edge.id, edge]));
  const frame = areaOf(nodes.get(rootNode));
  return {
    kind,
    width: Math.ceil(laid.width ?? 0),
    height: Math.ceil(laid.height ?? 0),
    boxes: drawing.boxes.map((box) => {
      const area = areaOf(nodes.get(nodeId(box.state.id)));
      const note = nodes.get(noteId(box.state.id));
      return { ...box, ...area, head: note === undefined ? { x: area.x, y: area.y, ...headerOf(box) } : areaOf(note) };
    }),
    edges: drawing.edges.map((edge) => ({ ...edge, ...routeOf(edges.get(edge.id)) })),
    starts: drawing.boxes.flatMap(({ state }) =>
      state.initial === null
        ? []
        : [{
            state: state.id,
            ...areaOf(nodes.get(startId(state.id))),
            points: routeOf(edges.get(`edge:${startId(state.id)}`)).points,
          }],
    ),
    chips: chipPlaces(drawing.chips).places.map((chip) => ({ ...chip, x: chip.x + frame.x, y: chip.y + frame.y })),
  };
}

const areaOf = (node: ElkNode | ElkLabel | undefined): Area => ({
  x: node?.x ?? 0,
  y: node?.y ?? 0,
  width: node?.width ?? 0,
  height: node?.height ?? 0,
});

function routeOf(edge: ElkExtendedEdge | undefined): { points: readonly Point[]; label: Area | null } {
  const points = (edge?.sections ?? []).flatMap((section: ElkEdgeSection) => [
    section.startPoint,
    ...(section.bendPoints ?? []),
    section.endPoint,
  ]);
  const label = edge?.labels?.[0];
  return { points: points.map(({ x, y }) => ({ x, y })), label: label === undefined ? null : areaOf(label) };
}

/**
 * Places a folded chart: elkjs layered, orthogonal edges, measured labels.
 *
 * The layout is deterministic and takes hundreds of ms of CPU, so it is called by layout-worker.ts and by the writer of
 * the documentation, never on the main thread of a serving node. The options were found by trial: DEPTH_FIRST must be
 * set on every compound state, and model-order strategies crash with INCLUDE_CHILDREN in elkjs 0.12.1.
 */
import ELK, { type ElkEdgeSection, type ElkExtendedEdge, type ElkLabel, type ElkNode } from 'elkjs/lib/elk.bundled.js';
import { PhotonError } from '../contract/errors.ts';
import { foldChart, type Drawing, type DrawnBox, type DrawnEdge } from './chart-fold.ts';
import { chipPlaces, graphOf, headerOf, nodeId, noteId, rootNode, startId } from './chart-graph.ts';
import type { Area, PlacedChip, Point } from './chart-graph.ts';
import type { Chart } from './chart-ir.ts';

export interface PlacedBox extends Area, DrawnBox {
  /** The area of the title and the rows. */
  readonly head: Area;
}
export interface PlacedEdge extends DrawnEdge {
  readonly points: readonly Point[];
  readonly label: Area | null;
}
export interface PlacedStart extends Area {
  /** The compound state whose initial state it points to. */
  readonly state: string;
  readonly points: readonly Point[];
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

/**
 * A title is placed in the top left corner of its compound state. If an edge to a child crosses a title, or elkjs makes
 * the state narrower than its rows in spite of its least size, the chart is laid out again with that title and its rows
 * as a note: a box of its own, which edges avoid.
 * @throws PhotonError defeat `chart_layout_failed`
 */
export async function layoutChart(chart: Chart): Promise<PlacedChart> {
  const drawing = foldChart(chart);
  const notes = new Set<string>();
  for (;;) {
    const laid = await tryLayouts(graphOf(drawing, notes), chart.kind);
    const result = placed(chart.kind, drawing, laid);
    const crowded = result.boxes
      .filter((box) => !notes.has(box.state.id) && (isCrossed(box, result) || isTooNarrow(box)))
      .map((box) => box.state.id);
    if (crowded.length === 0) return result;
    for (const id of crowded) notes.add(id);
  }
}

const isTooNarrow = ({ state, head, width }: PlacedBox): boolean =>
  state.children.length > 0 && state.id !== '' && head.width > width;

function isCrossed(box: PlacedBox, chart: PlacedChart): boolean {
  if (box.state.children.length === 0 || box.state.id === '') return false;
  return chart.edges.some(({ points }) =>
    points.some((point, index) => index > 0 && touches(points[index - 1] as Point, point, box.head)),
  );
}

/** Whether a horizontal or vertical piece of an edge crosses an area. */
function touches(a: Point, b: Point, area: Area): boolean {
  return (
    Math.max(a.x, b.x) > area.x &&
    Math.min(a.x, b.x) < area.x + area.width &&
    Math.max(a.y, b.y) > area.y &&
    Math.min(a.y, b.y) < area.y + area.height
  );
}

/** Tried in this order until one succeeds; the later ones give a simpler picture. */
const strategies: readonly Readonly<Record<string, string>>[] = [
  { 'elk.layered.cycleBreaking.strategy': 'DEPTH_FIRST', 'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX' },
  { 'elk.layered.cycleBreaking.strategy': 'DEPTH_FIRST', 'elk.layered.nodePlacement.strategy': 'BRANDES_KOEPF' },
  { 'elk.layered.cycleBreaking.strategy': 'GREEDY', 'elk.layered.nodePlacement.strategy': 'LINEAR_SEGMENTS' },
];

async function tryLayouts(
  graph: (options: Readonly<Record<string, string>>) => ElkNode,
  kind: string,
): Promise<ElkNode> {
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
        : [
            {
              state: state.id,
              ...areaOf(nodes.get(startId(state.id))),
              points: routeOf(edges.get(`edge:${startId(state.id)}`)).points,
            },
          ],
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

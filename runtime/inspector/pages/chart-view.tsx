/**
 * The picture of one chart. The server sends the laid-out SVG; here only classes are toggled: for the current state,
 * its ancestors, and the transition that led to it. Zoom and pan work by buttons, keys, wheel and drag.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Chart } from '../chart-ir.ts';
import { activeStates } from '../chart-trace.ts';
import type { ChartMeanings } from '../state-meaning.ts';
import { useKeys } from './key-bindings.ts';

const smallest = 0.3;
const largest = 2;
/** Labels are unreadable below this zoom; a wider chart is scrolled instead of shrunk further. */
const smallestFit = 0.82;

export function ChartView(props: {
  chart: Chart;
  svg: string;
  state: unknown;
  lastTransitions: readonly string[];
  meanings: ChartMeanings;
  onPick: (stateId: string) => void;
}) {
  const canvas = useRef<HTMLDivElement>(null);
  const [zoom, setZoom] = useState<number | null>(null);
  const marked = JSON.stringify([props.state, props.lastTransitions, props.meanings]);
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return;
    element.innerHTML = props.svg;
    // In a tree, one element can be reached by Tab; arrow keys reach the others.
    element.querySelector('[data-state=""]')?.setAttribute('tabindex', '0');
  }, [props.svg]);
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => applyZoom(element, zoom));
    // It calls at once, and then whenever the window changes.
    observer.observe(element);
    return () => observer.disconnect();
  }, [props.svg, zoom]);
  useEffect(() => {
    mark(canvas.current, props);
    scrollToLit(canvas.current);
  }, [props.svg, marked]);
  const scale = (factor: number): void => {
    const now = currentZoom(canvas.current);
    setZoom(Math.min(largest, Math.max(smallest, now * factor)));
  };
  const larger = (): void => scale(1.2);
  const smaller = (): void => scale(1 / 1.2);
  const readable = (): void => setZoom(null);
  const whole = (): void => setZoom(wholeZoom(canvas.current));
  useKeys({ '+': larger, '=': larger, '-': smaller, 0: readable, 9: whole });
  useEffect(() => listenToCanvas(canvas.current, scale), []);
  return (
    <div class="drawing">
      <div
        class="canvas"
        ref={canvas}
        onClick={(event) => pick(event, props.onPick)}
        onKeyDown={(event) => walkTree(event, props.onPick)}
        onMouseOver={(event) => hover(canvas.current, event)}
      />
      <div class="zoom" role="group" aria-label="Zoom">
        <button onClick={smaller} aria-label="Smaller">
          −
        </button>
        <button onClick={larger} aria-label="Larger">
          +
        </button>
        <button onClick={readable}>Fit</button>
        <button onClick={whole}>Whole</button>
      </div>
    </div>
  );
}

function drawing(canvas: HTMLElement | null): { svg: SVGSVGElement; width: number; height: number } | undefined {
  const svg = canvas?.querySelector('svg');
  if (svg === null || svg === undefined) return undefined;
  return { svg, width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
}

/** Zoom `null` fits the width, but not below `smallestFit`. */
function applyZoom(canvas: HTMLElement | null, zoom: number | null): void {
  const drawn = drawing(canvas);
  if (canvas === null || drawn === undefined) return;
  const fit = Math.min(1, Math.max(smallestFit, (canvas.clientWidth - 20) / drawn.width));
  const scale = zoom ?? fit;
  drawn.svg.setAttribute('width', String(Math.round(drawn.width * scale)));
  drawn.svg.setAttribute('height', String(Math.round(drawn.height * scale)));
  scrollToLit(canvas);
}

/** Space for the zoom buttons in px; the same value as in inspector-page.css. */
const bottomPadding = 64;

/** The zoom that shows the whole chart; labels of a large chart are then unreadable. */
function wholeZoom(canvas: HTMLElement | null): number {
  const drawn = drawing(canvas);
  if (canvas === null || drawn === undefined) return 1;
  const across = (canvas.clientWidth - 20) / drawn.width;
  const down = (canvas.clientHeight - bottomPadding) / drawn.height;
  return Math.max(smallest / 2, Math.min(1, across, down));
}

function currentZoom(canvas: HTMLElement | null): number {
  const drawn = drawing(canvas);
  return drawn === undefined ? 1 : Number(drawn.svg.getAttribute('width')) / drawn.width;
}

interface Marked {
  readonly state: unknown;
  readonly lastTransitions: readonly string[];
  readonly meanings: ChartMeanings;
}

function mark(canvas: HTMLElement | null, { state, lastTransitions: last, meanings }: Marked): void {
  if (canvas === null) return;
  const active = activeStates(state);
  for (const element of canvas.querySelectorAll<SVGGElement>('[data-state]')) {
    const id = element.dataset.state ?? '';
    const lit = active.lit.has(id);
    element.classList.toggle('lit', lit);
    for (const meaning of ['steady', 'changing', 'retrying', 'failed', 'ended'] as const)
      element.classList.toggle(meaning, lit && (meanings[id] ?? 'changing') === meaning);
    element.classList.toggle('within', active.within.has(id));
    if (lit) element.setAttribute('aria-current', 'true');
    else element.removeAttribute('aria-current');
  }
  for (const element of canvas.querySelectorAll<SVGGElement>('[data-transitions]')) {
    const ids = (element.dataset.transitions ?? '').split(' ');
    element.classList.toggle(
      'last',
      last.some((id) => ids.includes(id)),
    );
  }
  for (const element of canvas.querySelectorAll<SVGElement>('.last [data-transition], .other')) {
    const isLast = element.closest('.last') !== null;
    element.classList.toggle('other', isLast && !last.includes(element.dataset.transition ?? ''));
  }
}

function scrollToLit(canvas: HTMLElement | null): void {
  const frame = canvas?.querySelector('.lit>.frame');
  if (canvas === null || frame === null || frame === undefined) return;
  const box = frame.getBoundingClientRect();
  const view = canvas.getBoundingClientRect();
  const margin = 40;
  const inside =
    box.left >= view.left + margin &&
    box.right <= view.right - margin &&
    box.top >= view.top + margin &&
    box.bottom <= view.bottom - margin;
  if (inside) return;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  canvas.scrollBy({
    left: box.left + box.width / 2 - view.left - view.width / 2,
    top: box.top + box.height / 2 - view.top - view.height / 2,
    behavior: calm || canvas.scrollTop + canvas.scrollLeft === 0 ? 'auto' : 'smooth',
  });
}

function pick(event: MouseEvent, onPick: (stateId: string) => void): void {
  const state = (event.target as Element).closest<SVGGElement>('[data-state]');
  if (state !== null) onPick(state.dataset.state ?? '');
}

/** Arrow keys move through the states in document order. */
function walkTree(event: KeyboardEvent, onPick: (stateId: string) => void): void {
  const step =
    event.key === 'ArrowDown' || event.key === 'ArrowRight'
      ? 1
      : event.key === 'ArrowUp' || event.key === 'ArrowLeft'
        ? -1
        : 0;
  const from = (event.target as Element).closest<SVGGElement>('[data-state]');
  if (step === 0 || from === null) return;
  event.preventDefault();
  event.stopPropagation();
  const all = [...(event.currentTarget as Element).querySelectorAll<SVGGElement>('[data-state]')];
  const next = all[all.indexOf(from) + step];
  if (next === undefined) return;
  next.focus();
  onPick(next.dataset.state ?? '');
}

/** Highlights the edge of the label under the pointer. */
function hover(canvas: HTMLElement | null, event: MouseEvent): void {
  const edge = (event.target as Element).closest<SVGGElement>('[data-edge]')?.dataset.edge;
  for (const element of canvas?.querySelectorAll<SVGGElement>('[data-edge]') ?? []) {
    element.classList.toggle('hover', edge !== undefined && element.dataset.edge === edge);
  }
}

function listenToCanvas(canvas: HTMLDivElement | null, scale: (factor: number) => void): () => void {
  if (canvas === null) return () => {};
  let from: { x: number; y: number; left: number; top: number } | undefined;
  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || event.pointerType !== 'mouse') return;
    from = { x: event.clientX, y: event.clientY, left: canvas.scrollLeft, top: canvas.scrollTop };
  };
  const move = (event: PointerEvent): void => {
    if (from === undefined || event.buttons === 0) return;
    canvas.classList.add('dragging');
    canvas.scrollTo(from.left - (event.clientX - from.x), from.top - (event.clientY - from.y));
  };
  const up = (): void => {
    from = undefined;
    canvas.classList.remove('dragging');
  };
  const wheel = (event: WheelEvent): void => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    scale(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  };
  canvas.addEventListener('pointerdown', down);
  canvas.addEventListener('wheel', wheel, { passive: false });
  addEventListener('pointermove', move);
  addEventListener('pointerup', up);
  return () => {
    canvas.removeEventListener('pointerdown', down);
    canvas.removeEventListener('wheel', wheel);
    removeEventListener('pointermove', move);
    removeEventListener('pointerup', up);
  };
}

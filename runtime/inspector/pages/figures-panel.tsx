/**
 * Figures and facts of an object that are no state, as its nodes have them now: read again and again while the page is
 * open.
 */
import { useEffect, useState } from 'preact/hooks';
import { figureText, figureWord } from './figure-text.ts';
import type { Figures, InspectorFeed } from './inspector-feed.ts';

const readEveryMs = 5_000;

/** Nothing for an object without figures. When they cannot be read, those that were read before stay. */
export function FiguresPanel(props: { feed: InspectorFeed; id: string }) {
  const read = useFigures(props.feed, props.id);
  if (read === null) return null;
  const { figures, facts = [], complete } = read;
  const lines = [
    ...Object.entries(figures).map(([name, value]) => [figureWord(name), figureText(name, value)]),
    ...facts.map(({ name, values }) => [name, values.join(', ')]),
  ];
  const title = facts.length > 0 ? 'Facts' : 'Figures';
  return (
    <section class="panel" aria-label={title}>
      <h2>{title}</h2>
      <ul class="waits">
        {lines.map(([name, text], at) => (
          <li key={at}>
            <span aria-hidden="true">•</span>
            <span>{name}</span>
            <span>{text}</span>
          </li>
        ))}
      </ul>
      {!complete && <p class="muted">a node did not answer: some figures are missing</p>}
    </section>
  );
}

function useFigures(feed: InspectorFeed, id: string): Figures | null {
  const [figures, setFigures] = useState<Figures | null>(null);
  useEffect(() => {
    let isOpen = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const readOn = async (): Promise<void> => {
      // The page says itself when its server is away; what was read before stays.
      const found = await feed.figures(id).catch(() => undefined);
      if (!isOpen) return;
      if (found !== undefined) setFigures(found);
      timer = setTimeout(() => void readOn(), readEveryMs);
    };
    setFigures(null);
    void readOn();
    return () => {
      isOpen = false;
      clearTimeout(timer);
    };
  }, [feed, id]);
  return figures;
}

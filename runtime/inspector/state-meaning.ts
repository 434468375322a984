/**
 * What a state means to a person who looks for trouble, the same for every kind: it lasts, it is on its way, it waits
 * to try again, or it needs somebody. Charts tag what lasts (`steady`); the rest follows from the last word of the
 * state's name, which is a convention for authors of charts: a state whose name ends in one of the words below means
 * what is said there. Pure; runs on the server, for the list, and in the browser, for the chart.
 */
import type { Chart, ChartState } from './chart-ir.ts';
import { activeStates } from './chart-trace.ts';

export type Meaning = 'steady' | 'changing' | 'retrying' | 'failed' | 'ended';

/** The actor goes on by itself, after a failure that may pass. */
const retryingWords = /(?:backoff|waiting|unplaced|degraded|lagging)$/i;
/** The actor does not get further by itself, or only when somebody removes the cause. */
const failedWords = /(?:failed|refused|rejected|broken|stuck|overdue|silent)$/i;

/** Each meaning has a sign of its own, so that none is told by colour alone. */
export const meaningSigns: Readonly<Record<Meaning, string>> = {
  steady: '●',
  changing: '◐',
  retrying: '↻',
  failed: '✕',
  ended: '○',
};

export const meaningWords: Readonly<Record<Meaning, string>> = {
  steady: 'lasts',
  changing: 'on its way',
  retrying: 'waits to try again',
  failed: 'needs attention',
  ended: 'ended',
};

export function meaningOf({ id, kind, tags }: Pick<ChartState, 'id' | 'kind' | 'tags'>): Meaning {
  // The innermost name decides; a state inside `lagging` lags too.
  const names = id.split('.');
  const last = names.at(-1) ?? '';
  if (names.some((name) => failedWords.test(name))) return 'failed';
  if (names.slice(0, -1).some((name) => /(?:degraded|lagging)$/i.test(name))) return 'retrying';
  if (retryingWords.test(last)) return 'retrying';
  if (kind === 'final') return 'ended';
  return tags.includes('steady') ? 'steady' : 'changing';
}

const mostUrgentFirst = ['failed', 'retrying', 'changing', 'steady', 'ended'] as const;

/** Meanings of a chart's states that have none inside. */
export type ChartMeanings = Readonly<Record<string, Meaning>>;

export const meaningsOf = (chart: Chart): ChartMeanings =>
  Object.fromEntries(
    chart.states.filter(({ children }) => children.length === 0).map((state) => [state.id, meaningOf(state)]),
  );

/**
 * Of several regions the most urgent meaning.
 *
 * @param state a state value, or its name in a list: `a.b`, of parallel regions `a.b,c.d`
 * @param meanings of the kind's chart; without them the name alone is read
 */
export function meaningOfState(state: unknown, meanings: ChartMeanings = {}): Meaning {
  const ids = typeof state === 'string' ? state.split(/,| \+ /) : [...activeStates(state).lit];
  const all = ids.map((id) => meanings[id] ?? meaningOf({ id, kind: 'atomic', tags: [] }));
  return mostUrgentFirst.find((meaning) => all.includes(meaning)) ?? 'changing';
}

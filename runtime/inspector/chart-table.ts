/**
 * A chart as a table: every state with its description, what it requests on entry, its deadlines and its transitions.
 * The documentation (Markdown) and the page use the same rows, so that the table is as complete as the picture. Pure;
 * also runs in the browser.
 */
import { countedNames } from './chart-fold.ts';
import type { Chart, ChartTransition } from './chart-ir.ts';

export interface TableRow {
  readonly state: string;
  /** `parallel` or `final`, and the state's tags. */
  readonly marks: readonly string[];
  readonly description: string;
  readonly asks: readonly string[];
  readonly deadlines: readonly string[];
  readonly exits: readonly string[];
}

export function tableOf(chart: Chart): readonly TableRow[] {
  return chart.states.map((state) => {
    const own = chart.transitions.filter((transition) => transition.source === state.id);
    return {
      state: state.id === '' ? '(any state)' : state.id,
      marks: [...(state.kind === 'atomic' || state.kind === 'compound' ? [] : [state.kind]), ...state.tags],
      description: state.description ?? '',
      asks: countedNames(state.entry.filter((action) => action.role !== 'update')),
      deadlines: own.filter((transition) => transition.kind === 'timer').map(exitText),
      exits: own.filter((transition) => transition.kind !== 'timer').map(exitText),
    };
  });
}

export function exitText(transition: ChartTransition): string {
  const guard = transition.guard === null ? '' : ` [${transition.guard}]`;
  const stays = transition.reenter ? ' (re-entered)' : ' (no state change)';
  const goes =
    transition.targets.length === 0 ? stays : ` → ${transition.targets.map((id) => id || '(initial)').join(', ')}`;
  const actions = transition.actions.length === 0 ? '' : ` / ${countedNames(transition.actions).join(', ')}`;
  return `${transition.label}${guard}${goes}${actions}`;
}

/** One Markdown page: the picture, then the table. */
export function chartMarkdown(chart: Chart): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const list = (texts: readonly string[]): string => texts.map(escapeMarkdown).join('<br>');
  const lines = tableOf(chart).map((line) =>
    row([
      `**${escapeMarkdown(line.state)}**` + line.marks.map((mark) => `<br>${escapeMarkdown(mark)}`).join(''),
      escapeMarkdown(line.description),
      list(line.asks),
      list(line.deadlines),
      list(line.exits),
    ]),
  );
  return [
    `# ${chart.kind}`,
    '',
    ...(chart.description === null ? [] : [escapeMarkdown(chart.description), '']),
    'Generated from the chart; do not edit.',
    '',
    `![State chart of ${chart.kind}](${chart.kind}.svg)`,
    '',
    row(['state', 'description', 'on entry', 'deadlines', 'transitions']),
    row(['---', '---', '---', '---', '---']),
    ...lines,
    '',
  ].join('\n');
}

const escapeMarkdown = (text: string): string =>
  text.replace(/[\\`*_[\]<>|]/g, (character) => `\\${character}`).replace(/\s+/g, ' ');

/** Text tables: padded columns, dim headings, coloured state names; colours only on a terminal. */
import { styleText } from 'node:util';

const coloured = (): boolean => process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;

/** Colours a state name: red for trouble, green for working, yellow for in between. */
export function stateWord(word: string): string {
  if (!coloured()) return word;
  if (/fail|reject|stuck|stall|silent|refus/.test(word)) return styleText('red', word);
  if (/^(running|ready|active|attached|available|held\.attached|serving)/.test(word)) return styleText('green', word);
  if (/^(stopped|unbound|removed)/.test(word)) return word;
  return styleText('yellow', word);
}

const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
const widthOf = (text: string): number => text.replace(escapes, '').length;

/** @returns lines without trailing blanks; without rows, one line that says so. */
export function textTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return 'nothing to show';
  const all = [headings.map((heading) => heading.toUpperCase()), ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ''))));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell))))
      .join('  ')
      .trimEnd(),
  );
  if (coloured()) lines[0] = styleText('dim', lines[0] ?? '');
  return lines.join('\n');
}

/** `4s`, `3m`, `5h`, `2d`. */
export function age(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}

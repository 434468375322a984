/** Text tables: padded columns, dim headings, coloured state names; colours only on a terminal. */
import { cleanLine } from '@photoncloud/runtime/contract/shown-text';
import { styled, widthOf } from './terminal-text.ts';

/** Colours a state name: red for trouble, green for working, yellow for in between. */
export function stateWord(word: string): string {
  if (/fail|reject|stuck|stall|silent|refus/.test(word)) return styled('red', word);
  if (/^(running|ready|active|attached|available|held\.attached|serving)/.test(word)) return styled('green', word);
  if (/^(stopped|unbound|removed)/.test(word)) return word;
  return styled('yellow', word);
}

/** @returns lines without trailing blanks; without rows, one line that says so. */
export function textTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return 'nothing to show';
  const all = [headings.map((heading) => heading.toUpperCase()), ...rows.map((row) => row.map(cleanLine))];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => widthOf(row[column] ?? ''))));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell))))
      .join('  ')
      .trimEnd(),
  );
  lines[0] = styled('dim', lines[0] ?? '');
  return lines.join('\n');
}

const ulidDigits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** When the object with this uid, a ULID, came into being, ms since the epoch; undefined for another uid. */
export function bornMs(uid: string): number | undefined {
  if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(uid)) return undefined;
  return Array.from(uid.slice(0, 10)).reduce((ms, digit) => ms * 32 + ulidDigits.indexOf(digit), 0);
}

/** `4s`, `3m`, `5h`, `2d`. */
export function age(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}

/** The word that somebody probably meant, for errors about names that do not exist. */

/** How many letters must be inserted, left out, replaced or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const kept = (rows[i - 1]?.[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (rows[i - 2]?.[j - 2] ?? 0) + 1 : Infinity;
      row.push(Math.min(kept, swapped, (rows[i - 1]?.[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}

/** @returns the closest known word when it is close enough to be a slip */
export function closest(word: string, known: Iterable<string>): string | undefined {
  // Long texts are no slips, and the effort grows with their length.
  if (word.length > 64) return undefined;
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const far = distance(word.toLowerCase(), candidate);
    if (far < least) [best, least] = [candidate, far];
  }
  return best;
}

/** `did you mean vm?`, or the words there are. */
export function suggestion(word: string, known: readonly string[]): string {
  const meant = closest(word, known);
  const sorted = [...new Set(known)].sort();
  return meant === undefined ? `there are: ${sorted.join(', ') || 'none'}` : `did you mean ${meant}?`;
}

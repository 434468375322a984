/** Figures in words, for the page of an actor and `photon describe`. Pure. */

/** `allocatedBytes` -> `allocated`, `readOperations` -> `read operations`. */
export const figureWord = (name: string): string =>
  name
    .replace(/Bytes$/, '')
    .replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    .trim();

/** Bytes as MiB, everything else as it is. */
export const figureText = (name: string, value: number): string =>
  name.endsWith('Bytes') ? `${(value / 2 ** 20).toFixed(1)} MiB` : String(value);

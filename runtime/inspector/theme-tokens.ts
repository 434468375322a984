/**
 * The colours of charts and pages, light and dark, and the CSS variables made from them.
 * Text and background colours have a contrast of at least 4.5. Tones differ not only by colour but also by glyph, dash
 * or place. Called by chart-svg.ts (documents) and page-bundle.ts.
 */
const tokens: Readonly<Record<string, readonly [light: string, dark: string]>> = {
  page: ['#f5f7fa', '#0d1117'],
  surface: ['#ffffff', '#141b24'],
  raised: ['#eef2f7', '#1b2430'],
  'compound-even': ['#f3f6fa', '#111923'],
  'compound-odd': ['#e9eef5', '#16202b'],
  leaf: ['#ffffff', '#1d2732'],
  line: ['#c3ccd8', '#33404f'],
  edge: ['#7b8a9c', '#6c7d90'],
  text: ['#17202b', '#e3eaf2'],
  muted: ['#566475', '#98a7b8'],
  accent: ['#0b62c4', '#62aeff'],
  'lit-fill': ['#d3e6ff', '#123d6b'],
  'lit-line': ['#0b62c4', '#62aeff'],
  'steady-fill': ['#d9f0df', '#143d24'],
  'steady-line': ['#1c6e34', '#6fd08c'],
  'retrying-fill': ['#fbe9c4', '#46350f'],
  'retrying-line': ['#8a5c00', '#e3b65c'],
  'failed-fill': ['#fbdcd9', '#521d1a'],
  'failed-line': ['#b3261e', '#ff8f85'],
  last: ['#a85b00', '#ffb347'],
  failure: ['#b3261e', '#ff8f85'],
  timer: ['#7a5200', '#e3b65c'],
  done: ['#1c6e34', '#6fd08c'],
  guard: ['#7232a8', '#cf9bf5'],
  action: ['#0d6a66', '#5cc9c1'],
};

const declarations = (side: 0 | 1): string =>
  Object.entries(tokens)
    .map(([name, pair]) => `--${name}:${pair[side]}`)
    .join(';');

/**
 * @param selector the selector that declares the variables, `:root` or `.chart`
 * @returns CSS: light by default, dark if the reader prefers it; `data-theme` on the root element overrides both
 */
export function themeCss(selector: string): string {
  return [
    `${selector}{color-scheme:light;${declarations(0)}}`,
    `@media (prefers-color-scheme:dark){${selector}{color-scheme:dark;${declarations(1)}}}`,
    `:root[data-theme=light]{color-scheme:light;${declarations(0)}}`,
    `:root[data-theme=dark]{color-scheme:dark;${declarations(1)}}`,
  ].join('\n');
}

/**
 * The style sheet of a chart drawing. A page includes it once; a stand-alone SVG (documentation) contains it.
 * Classes that a page toggles: on states `lit` (current) with its meaning (state-meaning.ts), and `within` (ancestor of
 * the current); on edges, rows and chips `last` (taken last), and `other` on those of their texts that belong to a
 * transition that was not taken; on edges `hover`. Meanings differ in the frame's dashes and width too.
 */
export const fontStack = 'system-ui,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","DejaVu Sans",sans-serif';

export const chartCss = `
.chart{background:var(--surface);font-family:${fontStack};font-size:12px}
.chart text{fill:var(--text);white-space:pre}
.chart .frame{fill:var(--leaf);stroke:var(--line);stroke-width:1.2}
.chart .compound>.frame{fill:var(--compound-odd)}
.chart .compound.even>.frame{fill:var(--compound-even)}
.chart .region>.frame{stroke-dasharray:2 4}
.chart .final>.inner{fill:none;stroke:var(--line);stroke-width:1.2}
.chart .title{font-size:14px;font-weight:700}
.chart .tag{font-size:11.5px;fill:var(--muted)}
.chart .rule{stroke:var(--line);stroke-width:1}
.chart .glyph{fill:var(--muted)}
.chart .start{fill:var(--edge)}
.chart .edge path{fill:none;stroke:var(--edge);stroke-width:1.4}
.chart .edge.timer path{stroke-dasharray:6 4}
.chart .edge.always path{stroke-dasharray:1.5 3.5}
.chart .edge.failure path{stroke:var(--failure)}
.chart .edge .head{fill:var(--edge);stroke:none}
.chart .edge.failure .head{fill:var(--failure)}
.chart .plate{fill:var(--surface);stroke:var(--line);stroke-width:1}
.chart .edge.timer .plate{stroke-dasharray:4 3}
.chart .label text{font-size:11.5px}
.chart .chip .plate{fill:var(--raised)}
.chart .tone-timer{fill:var(--timer)}
.chart .tone-failure{fill:var(--failure)}
.chart .tone-done{fill:var(--done)}
.chart .tone-guard{fill:var(--guard)}
.chart .tone-action,.chart .tone-effect,.chart .tone-message,.chart .tone-answer,.chart .tone-row{fill:var(--action)}
.chart .tone-update,.chart .tone-target,.chart .tone-always{fill:var(--muted)}
.chart .state:focus{outline:none}
.chart .state:focus-visible>.frame{stroke:var(--accent);stroke-width:3;stroke-dasharray:6 3}
.chart .within>.frame{stroke:var(--lit-line);stroke-width:2}
.chart .lit>.frame{fill:var(--lit-fill);stroke:var(--lit-line);stroke-width:3}
.chart .lit.steady>.frame{fill:var(--steady-fill);stroke:var(--steady-line)}
.chart .lit.changing>.frame{stroke-dasharray:12 5}
.chart .lit.retrying>.frame{fill:var(--retrying-fill);stroke:var(--retrying-line);stroke-dasharray:3 4}
.chart .lit.failed>.frame{fill:var(--failed-fill);stroke:var(--failed-line);stroke-width:6}
.chart .lit.ended>.frame{fill:var(--raised);stroke:var(--edge)}
.chart .edge.last path{stroke:var(--last);stroke-width:3}
.chart .edge.last .head{fill:var(--last)}
.chart .edge.last .plate,.chart .chip.last .plate{stroke:var(--last);stroke-width:2}
.chart .row.last .mark{fill:none;stroke:var(--last);stroke-width:2}
.chart .other{opacity:.5}
.chart .row .mark{fill:none}
.chart .edge.hover path{stroke:var(--accent);stroke-width:2.6}
.chart .edge.hover .head{fill:var(--accent)}
`.trim();

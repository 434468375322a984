/** The style sheet of the inspector's pages; colours come from theme-tokens.ts, the chart's own rules from chart-style.ts. */
import { fontStack } from './chart-style.ts';

export const pageCss = `
*{box-sizing:border-box}
html,body{margin:0;height:100%;background:var(--page);color:var(--text);font:14px/1.45 ${fontStack}}
#inspector{height:100%}
.app{height:100%;display:grid;grid-template-rows:auto 1fr}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
button,input,select{font:inherit;color:inherit;background:var(--surface);border:1px solid var(--line);border-radius:6px;padding:4px 9px}
button{cursor:pointer}
button:hover{border-color:var(--accent)}
button[aria-pressed=true]{background:var(--lit-fill);border-color:var(--lit-line)}
:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
code,.mono{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:12.5px}
.bar{display:flex;align-items:center;gap:12px;padding:8px 16px;background:var(--surface);border-bottom:1px solid var(--line);min-width:0}
.bar .brand{font-weight:700;color:var(--text)}
.bar .path{font-weight:600;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bar .space{flex:1}
.link{display:inline-flex;align-items:center;gap:6px;color:var(--muted);white-space:nowrap}
.link.good{color:var(--done)}
.link.bad{color:var(--failure)}
.badge{display:inline-block;padding:1px 9px;border-radius:10px;background:var(--lit-fill);border:1px solid var(--lit-line);font-weight:600;white-space:nowrap}
.badge.past{background:var(--surface);border-color:var(--last);color:var(--last)}
.badge.gone{background:var(--surface);border-color:var(--line);color:var(--muted)}
.muted{color:var(--muted)}
.failure{color:var(--failure)}
.timer{color:var(--timer)}
.notice{margin:24px auto;max-width:640px;padding:16px 20px;background:var(--surface);border:1px solid var(--line);border-radius:8px}
.list{display:grid;grid-template-rows:auto auto 1fr;min-height:0}
.filters{display:flex;flex-wrap:wrap;gap:8px;padding:10px 16px;align-items:center}
.filters input[type=search]{min-width:260px;flex:1;max-width:460px}
.filters label{display:inline-flex;align-items:center;gap:6px;color:var(--muted)}
.columns{display:grid;grid-template-columns:minmax(260px,3fr) minmax(150px,2fr) minmax(110px,1fr) 130px 80px 110px;gap:0 14px;align-items:center}
.columns>*{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.head{padding:4px 16px;color:var(--muted);font-size:12px;border-bottom:1px solid var(--line)}
.scroll{overflow:auto;min-height:0;position:relative}
.line{position:absolute;left:0;right:0;height:34px;padding:0 16px;border-bottom:1px solid var(--raised);color:inherit}
.line:hover{background:var(--raised);text-decoration:none}
.line[aria-selected=true]{background:var(--lit-fill);box-shadow:inset 3px 0 0 var(--lit-line)}
.line .kind{color:var(--muted)}
.line .fresh{color:var(--done)}
.number{text-align:right;font-variant-numeric:tabular-nums}
.actor{display:grid;grid-template-columns:minmax(0,1fr) minmax(340px,430px);min-height:0}
.stage{display:grid;grid-template-rows:auto 1fr;min-height:0;min-width:0;border-right:1px solid var(--line)}
.tabs{display:flex;flex-wrap:wrap;gap:6px;padding:8px 12px;align-items:center;border-bottom:1px solid var(--line)}
.tabs .space{flex:1}
.drawing{position:relative;min-height:0;display:grid}
.zoom{position:absolute;right:22px;bottom:20px;display:flex;gap:4px}
.zoom button{min-width:34px;box-shadow:0 1px 4px rgb(0 0 0/.18)}
.canvas{overflow:auto;min-height:0;padding-bottom:64px;background:var(--surface);cursor:grab;touch-action:pan-x pan-y}
.canvas.dragging{cursor:grabbing;user-select:none}
.canvas svg{display:block;margin:0 auto}
.side{overflow:auto;min-height:0;background:var(--page)}
.panel{padding:10px 14px;border-bottom:1px solid var(--line)}
.panel h2{margin:0 0 6px;font-size:12px;color:var(--muted);font-weight:600}
.panel p{margin:4px 0}
.facts{display:grid;grid-template-columns:auto 1fr;gap:2px 12px;margin:0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
.waits{list-style:none;margin:0;padding:0}
.waits li{display:grid;grid-template-columns:18px 1fr auto;gap:6px;padding:3px 0}
.history{list-style:none;margin:0;padding:0}
.entry{border-bottom:1px solid var(--line);background:var(--surface)}
.entry[aria-current=true]{box-shadow:inset 3px 0 0 var(--last);background:var(--raised)}
.entry .row{display:grid;grid-template-columns:46px 1fr auto;gap:2px 8px;padding:7px 14px;cursor:pointer}
.entry .row:hover{background:var(--raised)}
.entry .event{font-weight:600;overflow-wrap:anywhere}
.entry .way{grid-column:2/4;color:var(--muted);overflow-wrap:anywhere}
.entry .asked{grid-column:2/4;display:flex;flex-wrap:wrap;gap:4px}
.tag{border:1px solid var(--line);border-radius:4px;padding:0 6px;font-size:12px;color:var(--action);background:var(--surface);overflow-wrap:anywhere}
.entry.ignored .event,.entry.dropped .event{color:var(--muted)}
.entry.rejected .event{color:var(--failure)}
.detail{padding:2px 14px 12px 68px}
.detail h3{margin:8px 0 4px;font-size:12px;color:var(--muted);font-weight:600}
.diff{border-collapse:collapse;width:100%;table-layout:fixed}
.diff th,.diff td{text-align:left;vertical-align:top;padding:3px 6px;border:1px solid var(--line);overflow-wrap:anywhere;font-size:12px}
.diff th:first-child,.diff td:first-child{width:26%}
.diff .gone{color:var(--failure)}
.diff .came{color:var(--done)}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:12px}
.raw{padding:14px;overflow:auto;min-height:0}
.grid{width:100%;border-collapse:collapse;background:var(--surface)}
.grid th,.grid td{text-align:left;vertical-align:top;padding:6px 10px;border-bottom:1px solid var(--line)}
.grid th{color:var(--muted);font-weight:600;font-size:12px;position:sticky;top:0;background:var(--surface)}
.grid tr.lit td{background:var(--lit-fill)}
.grid ul{margin:0;padding:0;list-style:none}
dialog{color:var(--text);background:var(--surface);border:1px solid var(--line);border-radius:10px;padding:18px 22px;max-width:520px}
dialog::backdrop{background:rgb(0 0 0/.45)}
kbd{border:1px solid var(--line);border-bottom-width:2px;border-radius:4px;padding:0 6px;font-family:inherit;font-size:12.5px}
.keys{display:grid;grid-template-columns:auto 1fr;gap:6px 16px;margin:10px 0}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media (max-width:900px){
  .app{height:auto;min-height:100%}
  .actor{grid-template-columns:minmax(0,1fr)}
  .stage{border-right:0}
  .canvas{max-height:70vh}
  .columns{grid-template-columns:minmax(160px,3fr) minmax(90px,2fr) 70px}
  .columns>:nth-child(3),.columns>:nth-child(4),.columns>:nth-child(6){display:none}
  .list{height:100vh}
}
@media (prefers-reduced-motion:no-preference){.line .fresh{transition:color 1s}}
`.trim();

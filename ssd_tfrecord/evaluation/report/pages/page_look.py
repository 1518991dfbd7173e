"""How a page looks: light, dark, on a phone, in print; and the script that sorts its tables."""

# The one accent, and the colours of classes (Okabe and Ito 2008, brighter on dark). Those of boxes
# are the colours of ``marked_pictures``.
STYLE = """
:root { color-scheme: light dark;
  --paper: #fff; --panel: #f6f7f9; --ink: #1b1f27; --quiet: #5d6675; --line: #e2e5ea;
  --accent: #3451b2; --accent-rgb: 52 81 178; --on-accent: #fff; --bar: rgb(52 81 178 / .16);
  --c1: #0072b2; --c2: #d55e00; --c3: #009e73; --c4: #b4578f; --c5: #b97f00; --c6: #3a9bd1;
  --up: #007a59; --down: #b54a00;
  --true: rgb(0 158 115); --false: rgb(213 94 0); --missed: rgb(86 180 233); }
@media (prefers-color-scheme: dark) { :root {
  --paper: #111318; --panel: #1a1d24; --ink: #e8eaef; --quiet: #9aa3b2; --line: #2d323c;
  --accent: #9db1ff; --accent-rgb: 157 177 255; --on-accent: #10131c; --bar: rgb(157 177 255 / .24);
  --c1: #59aee8; --c2: #f28a4b; --c3: #33c699; --c4: #e29cc5; --c5: #e8b23a; --c6: #93d3f7;
  --up: #33c699; --down: #f28a4b; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 400 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
  "Liberation Sans", Arial, sans-serif; }
main, header, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 6px; }
h2 { font-size: 1.25rem; line-height: 1.3; letter-spacing: -.01em; margin: 0 0 6px; }
h3 { font-size: 1rem; margin: 24px 0 6px; }
p { margin: 0 0 12px; max-width: 72ch; }
a { color: var(--accent); text-underline-offset: 3px; }
.quiet, figcaption, .note { color: var(--quiet); }
.note, figcaption { font-size: .875rem; }
section { padding: 36px 0 0; }
section > h2:not(:first-child) { margin-top: 36px; }
section > h2 { border-top: 1px solid var(--line); padding-top: 20px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; font-size: .875rem; }
table, .number, dd, .cost { font-variant-numeric: tabular-nums; }
.answer { display: grid; grid-template-columns: minmax(250px, 5fr) 7fr; gap: 32px; }
.big { font-size: clamp(3.25rem, 9vw, 4.75rem); font-weight: 650; line-height: 1;
  letter-spacing: -.035em; margin: 0 0 10px; }
.range { position: relative; height: 6px; border-radius: 3px; background: var(--line);
  margin: 12px 0 6px; }
.range i { position: absolute; top: 0; height: 6px; border-radius: 3px; background: var(--bar);
  min-width: 2px; }
.range b { position: absolute; top: -3px; width: 3px; height: 12px; margin-left: -1px;
  border-radius: 2px; background: var(--accent); }
.ends { display: flex; justify-content: space-between; font-size: .75rem; color: var(--quiet); }
.tiles { display: flex; flex-wrap: wrap; gap: 1px;
  margin: 0 0 14px; background: var(--line); border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden; }
.tiles div { flex: 1 1 100px; background: var(--paper); padding: 10px 14px; }
.tiles dt { font-size: .8125rem; color: var(--quiet); }
.tiles dd { margin: 0; font-size: 1.375rem; font-weight: 600; letter-spacing: -.01em; }
.errors { list-style: none; margin: 16px 0 0; padding: 0; display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); }
.errors li { border: 1px solid var(--line); border-radius: 8px; padding: 16px; }
.errors h3 { margin: 0; display: flex; justify-content: space-between; gap: 12px; }
.errors p { margin: 8px 0 0; font-size: .9375rem; }
.meter { height: 4px; border-radius: 2px; background: var(--line); margin: 10px 0 0; }
.meter i { display: block; height: 4px; border-radius: 2px; background: var(--accent); }
.pictures { display: grid; gap: 20px 16px; margin: 16px 0 0;
  grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
.pictures img { max-height: 360px; }
.less { display: none; }
figure:target { grid-column: 1 / -1; scroll-margin: 16px; }
figure:target img { max-height: none; width: 100%; max-width: 900px; }
figure:target .less { display: inline; }
figcaption { margin-top: 6px; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; margin: 8px 0 0; padding: 0;
  font-size: .875rem; }
.key li::before { content: ""; display: inline-block; width: 18px; height: 0; margin-right: 7px;
  vertical-align: middle; border-top: 3px solid var(--k, var(--accent)); }
.key li.dashed::before { border-top-style: dashed; }
.scroll { overflow-x: auto; margin: 14px 0 0; }
table { border-collapse: collapse; font-size: .875rem; }
th, td { padding: 6px 8px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; overflow-wrap: normal; }
th { font-weight: 600; color: var(--quiet); }
tbody th, tfoot th { color: var(--ink); font-weight: 400; }
th:first-child, td.text, th.text { text-align: left; }
td.text { white-space: normal; }
td.long { min-width: 16em; color: var(--quiet); }
tfoot th, tfoot td { font-weight: 600; border-bottom: 0; }
table.wide { width: 100%; }
.wide th:first-child { position: sticky; left: 0; background: var(--paper); }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
.sorts thead button { text-decoration: underline dotted; text-underline-offset: 4px; }
.sorts thead button:hover { color: var(--ink); }
.sorts [aria-sort] { color: var(--accent); }
.sorts [aria-sort=ascending] button::before { content: "\\2191 "; }
.sorts [aria-sort=descending] button::before { content: "\\2193 "; }
td.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat left center /
  calc(var(--v, 0) * 100%) 68%; min-width: 92px; }
td.up { color: var(--up); } td.down { color: var(--down); }
.matrix td, .matrix th { border: 0; padding: 4px 7px; }
.matrix td { background: rgb(var(--accent-rgb) / var(--v, 0)); min-width: 46px;
  border: 1px solid var(--paper); text-align: center; }
.tight td, .tight th { padding: 4px 3px; } .tight td { min-width: 34px; }
.matrix td.deep { color: var(--on-accent); }
.matrix thead th { vertical-align: bottom; text-align: center; }
.matrix .upright { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block; }
.charts { display: grid; gap: 24px 32px; margin: 14px 0 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .curve { fill: none; stroke: var(--k, var(--quiet)); stroke-width: 1.6;
  stroke-linejoin: round; }
svg .faint { stroke-width: 1; opacity: .35; }
svg .faint:hover { opacity: 1; stroke: var(--c2); stroke-width: 2; }
svg .all { stroke-width: 2.8; }
svg .rule { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 2 3; }
svg .block { fill: var(--accent); }
svg.map { width: auto; max-width: none; }
svg.map text { font-size: 10px; }
.facts { display: grid; grid-template-columns: minmax(8em, max-content) 1fr; gap: 4px 24px;
  margin: 14px 0 0; font-size: .9375rem; }
.facts dt { color: var(--quiet); } .facts dd { margin: 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr));
  gap: 8px 16px; margin: 0 0 20px; }
.charts h3:first-child { margin-top: 0; }
code { white-space: nowrap;
  font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
footer { padding-top: 36px; padding-bottom: 48px; }
@media (max-width: 760px) { main, header, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 24px; } .answer { grid-template-columns: 1fr; gap: 24px; }
  .pictures { grid-template-columns: 1fr; } .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 8px; }
  .wide th:first-child { max-width: 36vw; min-width: 6em; white-space: normal;
    overflow-wrap: anywhere; } }
@media print { :root { --paper: #fff; --panel: #fff; --ink: #000; --quiet: #444; --line: #ccc;
    --accent: #3451b2; --accent-rgb: 52 81 178; --on-accent: #fff; --bar: rgb(52 81 178 / .2); }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  @page { margin: 14mm; }
  body { font-size: 10.5pt; } nav { display: none; } main, header, footer { padding: 0; }
  section { padding-top: 18pt; } .scroll { overflow: visible; }
  .pictures, .errors { grid-template-columns: repeat(3, 1fr); gap: 10px; }
  .errors li { padding: 10px; } .errors p { font-size: 9pt; }
  .pictures img { max-height: 42mm; }
  .charts, .pair { grid-template-columns: 1fr 1fr; } .answer { grid-template-columns: 5fr 7fr; }
  figure, .errors li, tr, .tiles { break-inside: avoid; }
  h2, h3, .key, .note { break-after: avoid; }
  .facts { grid-template-columns: minmax(8em, max-content) 1fr; gap: 2px 16px; }
  .facts dd { margin: 0; }
  table { font-size: 7.5pt; } th, td { padding: 3px 5px; }
  .sorts thead button { text-decoration: none; }
  .wide th:first-child { position: static; } }
"""

# Rows move; nothing is fetched, and no text becomes markup.
SCRIPT = """
for (const table of document.querySelectorAll("table[data-sorts]")) {
  table.classList.add("sorts");
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const number = column > 0;
      const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending"
        : number;
      for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const compare = number
        ? (a, b) => (parseFloat(value(a)) || 0) - (parseFloat(value(b)) || 0)
        : (a, b) => value(a).localeCompare(value(b));
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * compare(a, b));
      body.append(...rows);
    });
  });
}
"""

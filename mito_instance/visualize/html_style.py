"""Style sheet and script of HTML reports."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --surface: #f4f6f8; --ink: #1a1f26; --muted: #56606c; --line: #d3d9e0;
  --c1: #0b62c4; --c2: #961b00; --c3: #0b9964; --c4: #ad7daf; --c5: #401a5c; --c6: #cf7900;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171c; --surface: #1e232a; --ink: #e7eaee; --muted: #9da7b3; --line: #363d47;
    --c1: #56b4e9; --c2: #da3f06; --c3: #11d67e; --c4: #f3ffff; --c5: #805dfa; --c6: #ffed4b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.3rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.3rem; }
p { margin: 0.3rem 0 0.8rem; max-width: 70ch; overflow-wrap: anywhere; }
.muted, figcaption, caption { color: var(--muted); font-size: 0.875rem; }
.cards { display: grid; gap: 0.6rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.card {
  display: flex; flex-direction: column; padding: 0.6rem 0.8rem; border-radius: 0.4rem;
  background: var(--surface); border: 1px solid var(--line);
}
.card .name { font-size: 0.875rem; }
.card .value { font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.grid { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
.grid.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; padding: 0.6rem; background: var(--surface); border: 1px solid var(--line);
  border-radius: 0.4rem; min-width: 0; }
figure svg, figure img { display: block; width: 100%; height: auto; }
figure svg { max-width: 40rem; margin: 0 auto; }
figure svg text { fill: var(--ink); }
figcaption { margin-top: 0.4rem; overflow-wrap: anywhere; }
.panels { display: grid; gap: 0.25rem; grid-template-columns: repeat(3, 1fr); }
.panels span { font-size: 0.75rem; color: var(--muted); text-align: center; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 0.4rem;
  margin: 0.6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; }
caption { text-align: left; padding: 0.5rem 0.6rem; }
th, td { padding: 0.3rem 0.6rem; border-top: 1px solid var(--line); text-align: left;
  white-space: nowrap; }
th { background: var(--surface); }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--c1); }
th[aria-sort="ascending"] button::after { content: " ↑"; }
th[aria-sort="descending"] button::after { content: " ↓"; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; max-width: 24rem; }
a { color: var(--c1); }
pre { overflow-x: auto; font-size: 0.8125rem; }
.thumbnails { display: grid; gap: 0.6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.thumbnails > div { scroll-margin-top: 1rem; }
.thumbnail nav { display: none; gap: 1.5rem; margin-top: 0.4rem; }
.thumbnail:target { position: fixed; inset: 0; z-index: 1; overflow: auto; padding: 0.8rem;
  display: flex; flex-direction: column; align-items: center; border-radius: 0; }
.thumbnail:target img { width: 100vw; max-width: min(60rem, 100%); max-height: calc(100vh - 8rem);
  object-fit: contain; margin: 0 auto; }
.thumbnail:target nav { display: flex; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.2rem 1rem;
  font-size: 0.875rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const isNumber = head.classList.contains("number");
    const key = row => {
      const cell = row.cells[column];
      return isNumber ? cell.dataset.value : cell.textContent;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (isNumber && (x === "" || y === "")) return (x === "") - (y === "");
      const order = isNumber ? x - y : x.localeCompare(y, "en", { numeric: true });
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}
document.addEventListener("keydown", event => {
  const keys = { Escape: "close", ArrowLeft: "previous", ArrowRight: "next" };
  if (event.key in keys) document.querySelector(`.thumbnail:target .${keys[event.key]}`)?.click();
});
"""

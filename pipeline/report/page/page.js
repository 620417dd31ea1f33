"use strict";
// Tables that sort, filters that hide cells, and the exact row behind every mark of a figure.
// Without this script the page is whole: tables in their order, a title on every mark.

const study = JSON.parse(document.getElementById("study").textContent);
const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

// Tables --------------------------------------------------------------------------------------

function sortTable(table, column, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
  const rows = Array.from(table.tBodies[0].rows);
  const numbers = rows.every((row) => key(row) === "" || !Number.isNaN(Number(key(row))));
  rows.sort((first, second) => {
    const [a, b] = [key(first), key(second)];
    if (a === "" || b === "") return (a === "") - (b === ""); // unknown values stay last
    const order = numbers ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
    return descending ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = element("button", head.textContent);
    button.type = "button";
    button.addEventListener("click", () => sortTable(table, column, head));
    head.replaceChildren(button);
  });
}

// Filters -------------------------------------------------------------------------------------

const ofCells = Array.from(document.querySelectorAll("[data-cell], [data-cells]"));
const cellsOf = (mark) => (mark.dataset.cells ?? mark.dataset.cell).split(" ").map(Number);

const filters = document.querySelector(".filters");
const state = new URLSearchParams(location.search);

function remember() {
  // The address tells another reader what was filtered and chosen; the anchor stays.
  try {
    history.replaceState(null, "", `${location.pathname}${state.size ? `?${state}` : ""}${location.hash}`);
  } catch { /* a page in a sandbox has no address to change */ }
}

if (filters) {
  const boxes = Array.from(filters.querySelectorAll("input"));
  const everything = filters.querySelector("button");
  for (const box of boxes) box.checked = !state.getAll(`without-${box.name}`).includes(box.value);
  const apply = () => {
    const hidden = boxes.filter((box) => !box.checked).map((box) => [box.name, Number(box.value)]);
    const off = study.axes.map((cell) => hidden.some(([axis, value]) => cell[axis] === value));
    // What averages over cells goes when the last of them does.
    for (const mark of ofCells) mark.classList.toggle("off", cellsOf(mark).every((cell) => off[cell]));
    const left = off.filter((isOff) => !isOff).length;
    filters.querySelector("output").textContent = left
      ? `${left} of ${off.length} cells shown` : "no cell is left: choose other values, or show all";
    everything.disabled = hidden.length === 0;
    document.body.classList.toggle("filtered", hidden.length > 0);
    document.body.classList.toggle("emptied", left === 0);
    for (const name of new Set(boxes.map((box) => box.name))) state.delete(`without-${name}`);
    for (const [axis, value] of hidden) state.append(`without-${axis}`, value);
    remember();
    // What was chosen stays lit while one of its cells is shown.
    if (!pinned || cellsOf(pinned).every((cell) => off[cell])) forget();
  };
  filters.addEventListener("change", apply);
  everything.addEventListener("click", () => {
    for (const box of boxes) box.checked = true;
    apply();
  });
  filters.hidden = false;
  filters.open = boxes.some((box) => !box.checked);
  queueMicrotask(apply);
}

// Theme ---------------------------------------------------------------------------------------

const themes = document.querySelector(".theme");
function paint(name) {
  document.documentElement.dataset.theme = name;
  for (const button of themes.children) button.setAttribute("aria-pressed", String(button.value === name));
}
themes.addEventListener("click", (event) => {
  if (!event.target.value) return;
  paint(event.target.value);
  try { localStorage.setItem("theme", event.target.value); } catch { /* nothing is kept */ }
});
let kept = null;
try { kept = localStorage.getItem("theme"); } catch { /* nothing is kept */ }
paint(["light", "dark"].includes(kept) ? kept : "auto");
themes.hidden = false;

// Folded parts --------------------------------------------------------------------------------

const parts = Array.from(document.querySelectorAll("details.part"));
function unfold() {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const part = aim?.closest("details.part");
  if (!part || part.open) return;
  part.open = true;
  aim.scrollIntoView();
}
addEventListener("hashchange", unfold);
document.querySelector("nav").addEventListener("click", () => queueMicrotask(unfold));
addEventListener("beforeprint", () => { for (const part of parts) part.open = true; });
if (innerWidth < 1120) document.querySelector(".contents").open = false;
unfold();

// The exact row behind a mark -----------------------------------------------------------------

const card = document.getElementById("row");
const titles = new Map(); // the title of each mark, shown in the card instead
for (const title of document.querySelectorAll(".drawing [data-cell] > title, .drawing [data-cells] > title")) {
  titles.set(title.parentNode, title.textContent);
  title.remove();
}
let pinned = null;

function facts({ columns }, values) {
  // A mean, the ends of its interval and its n are one line; what is not known is none.
  const at = new Map(columns.map((column, place) => [column, values[place] ?? null]));
  return columns.flatMap((column) => {
    const value = at.get(column);
    if (value === null || /_(low|high|n)$/.test(column)) return [];
    const [low, high, n] = ["low", "high", "n"].map((end) => at.get(`${column}_${end}`) ?? null);
    const interval = low === null ? "" : ` [${low}, ${high}]`;
    const text = n === null ? String(value) : `${value}${interval}, n = ${n}`;
    return [element("dt", column), element("dd", text)];
  });
}

function light(marks, cells) {
  const same = new Set(cells);
  for (const mark of marks) mark.classList.toggle("same", cellsOf(mark).some((cell) => same.has(cell)));
}

function show(mark) {
  const drawing = mark.closest(".drawing");
  forget(drawing);
  drawing.classList.add("chosen");
  light(drawing.querySelectorAll("[data-cell], [data-cells]"), cellsOf(mark));
  const { cell, run } = mark.dataset;
  if (run !== undefined) showRun(run, titles.get(mark));
  else if (cell !== undefined) showCell(cell, titles.get(mark), drawing.dataset.figure);
  else showCells(cellsOf(mark), titles.get(mark), drawing.dataset.figure);
}

function choose(mark) {
  // What is chosen stays lit everywhere, and in the address.
  show(mark);
  pinned = mark;
  const cells = cellsOf(mark);
  for (const drawing of document.querySelectorAll(".drawing")) drawing.classList.add("chosen");
  light(ofCells, cells);
  state.set("cells", cells.join(" "));
  remember();
}

function showCells(cells, title, figure) {
  if (cells.length === 1) return showCell(cells[0], title, figure);
  const at = (column) => study.cells.columns.indexOf(column);
  const lines = cells.flatMap((cell) => {
    const row = study.cells.rows[cell];
    return [element("dt", row[at("label")]), element("dd", NUMBERS.flatMap(([column, name]) =>
      row[at(column)] === null ? [] : [`${name} ${shorter(row[at(column)])}`]).join(", "))];
  });
  fill(title ?? `Mean over ${cells.length} cells`, lines, figure);
}

const NUMBERS = [["test_accuracy", "upright"], ["test_accuracy_quarter_turned", "quarter-turned"],
  ["invariance_error", "error"]];
const shorter = (value) => Number(value).toPrecision(3);

function showRun(run, title) {
  const { columns, rows } = study.runs;
  const row = rows[run];
  fill(title ?? row[columns.indexOf("row")], facts(study.runs, row), row[columns.indexOf("row")]);
}

function showCell(cell, title, figure) {
  fill(title, facts(study.cells, study.cells.rows[cell]), figure);
  const { columns, rows } = study.runs;
  const [dataset, name] = ["dataset", "cell"].map(
    (column) => study.cells.rows[cell][study.cells.columns.indexOf(column)]);
  for (const [run, row] of Object.entries(rows)) {
    const is = (column) => row[columns.indexOf(column)];
    if (is("dataset") !== dataset || is("cell") !== name) continue;
    const button = element("button", `seed ${is("seed")}`);
    button.type = "button";
    button.addEventListener("click", () => {
      showRun(run);
      card.focus(); // the button has gone
    });
    card.querySelector(".runs").append(button);
  }
}

function fill(title, lines, origin) {
  card.querySelector("p").textContent = title;
  card.querySelector("dl").replaceChildren(...lines);
  card.querySelector(".runs").replaceChildren();
  card.querySelector("code").textContent = `python -m pipeline provenance ${origin}`;
  card.hidden = false;
}

function forget(except) {
  card.hidden = true;
  for (const drawing of document.querySelectorAll(".drawing.chosen")) {
    if (drawing !== except) drawing.classList.remove("chosen");
  }
  if (pinned) light(document.querySelectorAll("tr.same"), []);
  pinned = null;
  if (!state.has("cells")) return;
  state.delete("cells");
  remember();
}

function near(x, y) {
  // Lines are thin: search around the pointer too.
  for (const reach of [0, 4, 8]) {
    for (const [dx, dy] of [[0, 0], [reach, 0], [-reach, 0], [0, reach], [0, -reach]]) {
      const mark = document.elementFromPoint(x + dx, y + dy)?.closest(".drawing [data-cell], .drawing [data-cells]");
      if (mark) return mark;
    }
  }
  return null;
}

function inOrder(drawing) {
  // Panel by panel, from left to right; a cell drawn as mark and bar is one stop.
  const panels = Array.from(drawing.querySelectorAll("[id*=axes_]"));
  const stops = new Map();
  for (const mark of drawing.querySelectorAll("[data-cell]:not(.off), [data-cells]:not(.off)")) {
    const { left, top, width, height } = mark.getBoundingClientRect();
    if (!width && !height) continue; // of the drawing for another width
    const panel = panels.indexOf(mark.closest("[id*=axes_]"));
    const { cell, cells, run } = mark.dataset;
    stops.set(`${panel} ${cell} ${run} ${cells} ${titles.get(mark)}`, { mark, panel, left, top });
  }
  return Array.from(stops.values())
    .sort((a, b) => a.panel - b.panel || a.left - b.left || a.top - b.top)
    .map((stop) => stop.mark);
}

for (const drawing of document.querySelectorAll(".drawing")) {
  if (!drawing.querySelector("[data-cell], [data-cells]")) {
    // Nothing to choose: a stop for the keyboard only where it scrolls.
    if (!drawing.classList.contains("wide")) drawing.removeAttribute("tabindex");
    continue;
  }
  let at = null;
  drawing.addEventListener("pointermove", (event) => {
    if (pinned || event.pointerType === "touch") return;
    const mark = near(event.clientX, event.clientY);
    if (mark === at && card.hidden === !mark) return;
    at = mark;
    if (!mark) return forget();
    card.classList.toggle("left", event.clientX > innerWidth / 2); // never over the mark
    show(mark);
  });
  drawing.addEventListener("pointerleave", () => pinned || forget());
  drawing.addEventListener("click", (event) => {
    const mark = near(event.clientX, event.clientY);
    if (!mark || mark === pinned) return forget();
    choose(mark);
    at = mark;
  });
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && pinned) card.focus();
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    const stops = inOrder(drawing);
    if (!stops.length) return;
    event.preventDefault(); // instead of scrolling: the mark is brought into view
    const from = stops.indexOf(at);
    at = stops[from < 0 ? (step > 0 ? 0 : stops.length - 1) : (from + step + stops.length) % stops.length];
    choose(at);
    at.scrollIntoView({ block: "nearest", inline: "center" });
    card.classList.toggle("left", at.getBoundingClientRect().left > innerWidth / 2);
  });
}

function leave() {
  const drawing = pinned?.closest(".drawing");
  if (card.contains(document.activeElement)) drawing?.focus();
  forget();
}
document.addEventListener("keydown", (event) => event.key === "Escape" && leave());
card.querySelector(".close").addEventListener("click", leave);

// A chosen cell of the address, once the filters have been applied.
const wanted = state.get("cells");
if (wanted) queueMicrotask(() => {
  const mark = ofCells.find((one) => one.closest(".drawing") && !one.classList.contains("off")
    && (one.dataset.cells ?? one.dataset.cell) === wanted);
  if (mark) choose(mark);
});

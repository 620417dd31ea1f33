"use strict";
// Two things only: tables that sort, and filters that hide the marks and rows of cells.
// Everything else on the page works without this script.

function sortTable(table, column, button) {
  const head = button.closest("th");
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
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => sortTable(table, column, button));
  });
}

const filters = document.querySelector(".filters");
if (filters) {
  const cells = JSON.parse(document.getElementById("cells").textContent);
  const marked = Array.from(document.querySelectorAll("[data-cell]"));
  const boxes = Array.from(filters.querySelectorAll("input"));
  const apply = () => {
    const hidden = boxes.filter((box) => !box.checked).map((box) => [box.name, Number(box.value)]);
    const off = cells.map((cell) => hidden.some(([axis, value]) => cell[axis] === value));
    for (const element of marked) element.classList.toggle("off", off[Number(element.dataset.cell)]);
    const left = off.filter((isOff) => !isOff).length;
    filters.querySelector("output").textContent = `${left} of ${cells.length} cells shown`;
  };
  filters.addEventListener("change", apply);
  filters.hidden = false;
  apply();
}

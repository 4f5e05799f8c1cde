// The list of cases. Only rows near the window exist: a thousand cases cost no more than thirty.
const list = byId("list"), cells = new Map();
const GAP = 14, TEXT = 118, SPARE = 2;
let columns = 1, cellWidth = 0, rowHeight = 0, current = 0;

function measure() {
  const width = list.clientWidth, least = width < 500 ? 158 : 216;
  columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
  cellWidth = (width - GAP * (columns - 1)) / columns;
  rowHeight = Math.round(cellWidth * HEIGHT / WIDTH) + TEXT + GAP;
  list.style.height = `${Math.max(0, Math.ceil(shown.length / columns) * rowHeight - GAP)}px`;
}
function place() {
  const above = -list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(above / rowHeight) - SPARE) * columns;
  const last = Math.min(shown.length, (Math.ceil((above + innerHeight) / rowHeight) + SPARE) * columns);
  const wanted = new Map();
  for (let at = first; at < last; at++) wanted.set(shown[at].id, at);
  // The cell that holds the focus stays, or the keyboard would lose its place.
  if (shown[current] && cells.get(shown[current].id)?.node.contains(document.activeElement)) {
    wanted.set(shown[current].id, current);
  }
  for (const [id, cell] of cells) {
    if (!wanted.has(id)) {
      cell.node.remove();
      cells.delete(id);
    }
  }
  let before = null;
  for (const [id, at] of [...wanted].sort((a, b) => a[1] - b[1])) {
    if (!cells.has(id)) cells.set(id, cellOf(caseOf.get(id)));
    const { node, button } = cells.get(id);
    node.style.width = `${cellWidth}px`;
    node.style.height = `${rowHeight - GAP}px`;
    node.style.transform = `translate(${(at % columns) * (cellWidth + GAP)}px, ${Math.floor(at / columns) * rowHeight}px)`;
    node.setAttribute("aria-posinset", at + 1);
    node.setAttribute("aria-setsize", shown.length);
    button.tabIndex = at === current ? 0 : -1;
    // Moving an element that is in place would take the focus from it.
    const next = before ? before.nextSibling : list.firstChild;
    if (next !== node) list.insertBefore(node, next);
    before = node;
  }
}
function cellOf(item) {
  const picture = pictureOf(item, 160);
  const top = item.probabilities.map((_, index) => index).sort((a, b) => item.probabilities[b] - item.probabilities[a]);
  const button = el("button.cell", { type: "button", "aria-label": sentence(item), click: () => openCase(item.id) },
    picture.frame,
    verdict(item),
    el("span.bars", { "aria-hidden": "true" }, ...top.slice(0, 3).map((index) =>
      el(`span.row${index === item.label ? ".own" : ""}`, {}, ...bar(item, index)))),
    el("span.foot", { "aria-hidden": "true" },
      el("code", {}, item.id.slice(0, 8)),
      item.abstained ? el("span.badge", {}, "abstained") : null,
      el("span", { title: "uncertainty: entropy over its maximum" }, `u ${item.uncertainty.toFixed(2)}`)),
  );
  const node = el("li", { "data-id": item.id }, button);
  picture.draw();
  return { node, button, picture };
}
function sentence(item) {
  const said = wrong(item) ? `taken for ${labels[item.predicted]}` : "recognised";
  return `${labels[item.label]}, ${said}, probability ${confidence(item).toFixed(2)}, uncertainty ${item.uncertainty.toFixed(2)}, scan ${item.id}`;
}
function redrawCells() {
  for (const { picture } of cells.values()) picture.draw();
}
function rebuild() {
  const id = shown[current]?.id;
  arrange();
  current = Math.max(0, shown.findIndex((item) => item.id === id));
  byId("count").textContent = `${shown.length} of ${cases.length}`;
  byId("none").hidden = shown.length > 0;
  measure();
  place();
}
function focusCell(at) {
  current = clamp(at, 0, shown.length - 1);
  const top = list.getBoundingClientRect().top + Math.floor(current / columns) * rowHeight;
  const bar = byId("sort").closest(".bar"), covered = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
  if (top < covered + 8) scrollBy(0, top - covered - 8);
  else if (top + rowHeight > innerHeight) scrollBy(0, top + rowHeight - innerHeight);
  place();
  cells.get(shown[current]?.id)?.button.focus({ preventScroll: true });
}
list.addEventListener("focusin", (event) => {
  const id = event.target.closest("li")?.dataset.id;
  const at = shown.findIndex((item) => item.id === id);
  if (at < 0 || at === current) return;
  current = at;
  place();
});

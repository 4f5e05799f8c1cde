// The bar above the list, the keys, and the start.
const named = labels.map((name, index) => [String(index), name]);
const choices = {
  sort: SORTS, label: [["", "all"], ...named], predicted: [["", "all"], ...named], only: ONLY,
  map: [["predicted", "predicted class"], ["label", "scan's label"], ...named], theme: THEMES,
};
function redraw() {
  root.classList.toggle("map-off", !state.on);
  root.classList.toggle("outline-off", !state.outline);
  root.classList.toggle("regions-off", !state.regions);
  redrawCells();
  redrawCase();
  controlsFromState();
  writeHash();
}
const root = document.documentElement;
function controlsFromState() {
  for (const key of ["sort", "label", "predicted", "only", "map", "theme", "find"]) byId(key).value = state[key];
  byId("opacity").value = state.opacity;
  for (const key of ["on", "outline", "regions"]) byId(key).setAttribute("aria-pressed", state[key]);
  byId("down").textContent = state.down ? "↓" : "↑";
  byId("down").setAttribute("aria-label", state.down ? "Greatest first" : "Least first");
  byId("down").title = state.down ? "Greatest first" : "Least first";
  byId("down").setAttribute("aria-pressed", state.down);
  root.dataset.theme = state.theme;
}
const flip = (key) => () => {
  state[key] = !state[key];
  redraw();
};
const act = {
  on: flip("on"), outline: flip("outline"), regions: flip("regions"), cells: flip("cells"), pair: flip("pair"),
  theme() {
    state.theme = THEMES[(THEMES.findIndex(([key]) => key === state.theme) + 1) % THEMES.length][0];
    redraw();
  },
  opacity(by) {
    if (view.item) return setOpacity(shownOpacity(view.item) + by);
    state.opacity = clamp(state.opacity + by, 0, 100);
    own.opacity.clear();
    redraw();
  },
  help() {
    if (byId("help").open) byId("help").close();
    else byId("help").showModal();
  },
};
for (const [key, options] of Object.entries(choices)) {
  byId(key).append(...options.map(([value, text]) => el("option", { value }, text)));
}
for (const key of ["sort", "label", "predicted", "only", "find"]) {
  byId(key).addEventListener("input", (event) => {
    state[key] = event.target.value;
    rebuild();
    writeHash();
  });
}
byId("map").addEventListener("input", (event) => {
  state.map = event.target.value;
  own.class.clear();
  redraw();
});
byId("theme").addEventListener("input", (event) => {
  state.theme = event.target.value;
  redraw();
});
byId("opacity").addEventListener("input", (event) => {
  state.opacity = Number(event.target.value);
  own.opacity.clear();
  redraw();
});
byId("down").addEventListener("click", () => {
  state.down = !state.down;
  rebuild();
  redraw();
});
byId("reset").addEventListener("click", () => {
  Object.assign(state, { label: "", predicted: "", only: "", find: "" });
  rebuild();
  redraw();
});
for (const key of ["on", "outline", "regions"]) byId(key).addEventListener("click", act[key]);
byId("more").addEventListener("click", (event) => {
  const open = event.target.closest(".bar").classList.toggle("all");
  event.target.setAttribute("aria-expanded", open);
});
byId("help-open").addEventListener("click", act.help);
byId("outline").hidden = !has.lesions;
byId("regions").hidden = !has.regions;
byId("outline").querySelector(".swatch").style.background = `rgb(${data.outline})`;
root.classList.toggle("colour", data.colour);
root.style.setProperty("--shape", HEIGHT / WIDTH);
root.style.setProperty("--lesion", `rgb(${data.outline})`);

const KEYS = [
  ["← → ↑ ↓", "move through the scans; enlarged: scan before and next, ↑ ↓ slice of a volume"],
  ["Enter", "enlarge the scan"], ["1 … 9", "map of this class"], ["m", "map on or off"], ["[ ]", "opacity, less or more"],
  ["o", "lesion outline"], ["r", "suspicious regions"], ["p", "cells of the map as they are, without interpolation"],
  ["s", "scan beside the map"], ["+ − 0", "zoom in, out, back (also the wheel; of volumes with Ctrl)"],
  ["d", "theme: as system, light, dark, reading room"], ["/", "find a scan id"], ["?", "these keys"], ["Esc", "close"],
];
byId("help").append(
  el("h2", { id: "help-title" }, "Keys"),
  el("dl", {}, ...KEYS.flatMap(([keys, text]) => [el("dt", {}, ...keys.split(" ").map((key) => (key === "…" ? " … " : el("kbd", {}, key)))), el("dd", {}, text)])),
  el("button", { type: "button", click: act.help }, "Close"));

function pressed(event) {
  const key = event.key, open = view.item !== null;
  const typing = event.target.matches("input[type=search], select");
  if (event.ctrlKey || event.altKey || event.metaKey || typing) return false;
  const arrows = key.startsWith("Arrow");
  if (arrows && event.target.matches("input[type=range]")) return false;
  if (key === "?") return act.help(), true;
  if (byId("help").open) return false;
  if (arrows) return move(key, open, event.target);
  if (/^[1-9]$/.test(key)) {
    const item = open ? view.item : shown[current];
    return item && Number(key) <= labels.length ? (chooseClass(item, Number(key) - 1), true) : false;
  }
  if (open && (key === "+" || key === "=")) return zoomTo(1.25), true;
  if (open && (key === "-" || key === "−")) return zoomTo(0.8), true;
  if (open && key === "0") return resetView(), true;
  const plain = { m: act.on, o: act.outline, r: act.regions, p: act.cells, s: act.pair, d: act.theme,
    "[": () => act.opacity(-10), "]": () => act.opacity(10), "/": open ? null : () => byId("find").focus() }[key];
  return plain ? (plain(), true) : false;
}
function move(key, open, target) {
  if (open) {
    if (key === "ArrowLeft" || key === "ArrowRight") stepCase(key === "ArrowLeft" ? -1 : 1);
    else if (view.slice !== null) showSlice(view.slice + (key === "ArrowUp" ? 1 : -1));
    else return false;
    return true;
  }
  if (!shown.length || target.closest(".bar, header")) return false;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const inside = list.contains(document.activeElement);
  if (!inside && (key === "ArrowUp" || key === "ArrowDown")) return false;
  if (inside && (current + by < 0 || current + by >= shown.length)) return true;
  focusCell(inside ? current + by : current);
  return true;
}
addEventListener("keydown", (event) => {
  if (pressed(event)) event.preventDefault();
});

// Label against prediction; a number shows its scans.
function confusion() {
  const table = byId("confusion"), counts = labels.map(() => labels.map(() => 0));
  for (const item of cases) counts[item.label][item.predicted]++;
  const choose = (label, predicted) => () => {
    Object.assign(state, { label: String(label), predicted: String(predicted), only: "", find: "" });
    rebuild();
    redraw();
    list.scrollIntoView();
  };
  table.append(
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "label ↓  predicted →"), ...labels.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...labels.map((name, label) => el("tr", {}, el("th", { scope: "row" }, name),
      ...labels.map((other, predicted) => el(`td.number${label === predicted ? ".right" : ".wrong"}`, {}, counts[label][predicted]
        ? el("button", { type: "button", title: `${name} predicted as ${other}`, click: choose(label, predicted) }, counts[label][predicted])
        : "·"))))));
}
function start() {
  readHash();
  rebuild();
  redraw();
  if (state.case) openCase(state.case);
  else if (viewer.open) viewer.close();
}
let waiting = 0;
const later = (work) => () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(work);
};
addEventListener("scroll", later(place), { passive: true });
addEventListener("resize", later(() => {
  measure();
  place();
  fit();
}));
for (const part of document.querySelectorAll("header details")) part.addEventListener("toggle", place);
addEventListener("hashchange", start);
confusion();
legend(document);
start();

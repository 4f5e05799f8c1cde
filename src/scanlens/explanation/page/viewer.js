// One case enlarged: pictures on the left (facts.js fills the right).
const viewer = byId("viewer");
const view = { item: null, map: null, picture: null, plain: null, slice: null, sheet: null, zoom: 1, x: 0, y: 0 };
const slider = (id, text, attributes, input) =>
  el("label.slide", {}, el("span", {}, text), el("input", { id, type: "range", ...attributes, input }));
const toggle = (id, text, key, click) =>
  el("button", { id, type: "button", "aria-pressed": "false", title: `${text} (${key})`, click }, text);

const parts = {
  title: el("h2", { id: "case-title", tabindex: "-1" }),
  position: el("span.quiet"),
  stage: el("div.stage"),
  probe: el("output.probe", { "aria-hidden": "true" }),
  slice: slider("v-slice", "Slice", { min: 0 }, (event) => showSlice(Number(event.target.value))),
  sliceNumber: el("span.number"),
  opacity: slider("v-opacity", "Opacity", { min: 0, max: 100, step: 5 }, (event) => setOpacity(Number(event.target.value))),
  bright: slider("v-bright", "Brightness", { min: 40, max: 300, value: 100 }, () => windowing()),
  contrast: slider("v-contrast", "Contrast", { min: 40, max: 300, value: 100 }, () => windowing()),
  square: el("i.square"),
  squareText: el("span.quiet"),
  facts: el("div.facts-of-case"),
};
viewer.append(
  el("div.head", {},
    el("button", { type: "button", id: "before", title: "Case before (←)", "aria-label": "Case before", click: () => stepCase(-1) }, "←"),
    el("button", { type: "button", id: "after", title: "Next case (→)", "aria-label": "Next case", click: () => stepCase(1) }, "→"),
    parts.title, parts.position,
    el("button", { type: "button", id: "close", title: "Close (Esc)", "aria-label": "Close", click: () => viewer.close() }, "✕")),
  el("div.body", {},
    el("div.left", {},
      parts.stage,
      el("div.tools", { role: "group", "aria-label": "Picture" },
        el("span.slices", {}, parts.slice, parts.sliceNumber),
        el("span.legend", { role: "img", "aria-label": "Colour scale: probability from 0 to 1" },
          el("canvas.ramp", { width: 256, height: 1 }), el("span.ticks")),
        toggle("v-on", "Map", "m", () => act.on()), parts.opacity,
        toggle("v-outline", "Lesion", "o", () => act.outline()), toggle("v-regions", "Regions", "r", () => act.regions()),
        toggle("v-cells", "Cells", "p", () => act.cells()), toggle("v-pair", "Scan beside", "s", () => act.pair()),
        parts.bright, parts.contrast,
        el("button", { type: "button", id: "v-reset", title: "Zoom, brightness and contrast back (0)", click: () => resetView() }, "Reset"))),
    el("div.side", {},
      parts.facts,
      el("section", {}, el("h3", {}, "Resolution"), el("p.squares", {}, parts.square, parts.squareText)))));

function openCase(id) {
  const item = caseOf.get(id);
  state.case = id;
  const linked = state.slice !== "" && view.item === null ? Number(state.slice) : item.slice;
  view.item = item;
  view.slice = item.slice === null ? null : clamp(Math.round(linked) || 0, 0, data.slices - 1);
  state.slice = "";
  const at = shown.indexOf(item);
  if (at >= 0) current = at;
  parts.title.replaceChildren(verdict(item));
  parts.position.textContent = at < 0 ? "" : `${at + 1} of ${shown.length}`;
  Object.assign(view, { zoom: 1, x: 0, y: 0, sheet: null });
  view.plain = pictureOf(item, 0, { map: false, alt: `Scan ${item.id}` });
  view.picture = pictureOf(item, 480, { alt: `Scan ${item.id} under its map` });
  view.picture.frame.append(parts.probe, el("i.cursor", { "aria-hidden": "true" }));
  parts.stage.replaceChildren(view.plain.frame, view.picture.frame);
  if (item.sheet) loadSheet(item);
  parts.slice.lastChild.max = (data.slices ?? 1) - 1;
  parts.slice.parentNode.hidden = item.slice === null;
  fillFacts(item);
  if (!viewer.open) {
    viewer.showModal();
    parts.title.focus();
  }
  redrawCase();
}
function redrawCase() {
  const { item, picture } = view;
  if (!item) return;
  picture.draw(view.slice);
  view.map = plane(item, shownClass(item), view.slice);
  for (const [id, on] of [["v-on", state.on], ["v-outline", state.outline], ["v-regions", state.regions], ["v-cells", state.cells], ["v-pair", state.pair]]) {
    byId(id).setAttribute("aria-pressed", on);
  }
  byId("v-outline").hidden = !Object.keys(item.outline).length;
  byId("v-regions").hidden = !item.regions.length;
  parts.stage.classList.toggle("pair", state.pair);
  parts.opacity.lastChild.value = shownOpacity(item);
  if (item.slice !== null) {
    parts.slice.lastChild.value = view.slice;
    parts.sliceNumber.textContent = `${view.slice + 1} / ${data.slices}`;
  }
  drawSlice();
  markFacts(item);
  fit();
  writeHash();
}
// The whole picture in the room there is; the legend's square is one cell at that size.
function fit() {
  if (!view.item) return;
  const room = parts.stage.getBoundingClientRect(), count = state.pair ? 2 : 1, gap = 8;
  const side = state.pair && room.width < room.height ? [1, 2] : [count, 1];
  const scale = Math.min((room.width - gap * (side[0] - 1)) / side[0] / WIDTH, (room.height - gap * (side[1] - 1)) / side[1] / HEIGHT);
  for (const { frame } of [view.plain, view.picture]) frame.style.width = `${Math.max(40, Math.floor(WIDTH * scale))}px`;
  const grid = view.item.grid.slice(-2), cell = [HEIGHT / grid[0], WIDTH / grid[1]];
  parts.square.style.width = `${cell[1] * scale}px`;
  parts.square.style.height = `${cell[0] * scale}px`;
  const sees = data.receptive ? ` It sees ${data.receptive.map(Math.round).join(" × ")} pixels of the scan.` : "";
  parts.squareText.textContent = `One cell of the map, ${cell.map((length) => +length.toFixed(1)).join(" × ")} pixels of the scan.${sees} What is smaller is interpolation.`;
  moveView();
}
function moveView() {
  const move = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
  for (const { frame } of [view.plain, view.picture]) {
    for (const layer of frame.querySelectorAll("img, canvas, svg")) layer.style.transform = move;
  }
}
function zoomTo(factor, x = 0.5, y = 0.5) {
  const zoom = clamp(view.zoom * factor, 1, 12), { width, height } = view.picture.frame.getBoundingClientRect();
  const grown = zoom / view.zoom;
  view.x = clamp(x * width - (x * width - view.x) * grown, width * (1 - zoom), 0);
  view.y = clamp(y * height - (y * height - view.y) * grown, height * (1 - zoom), 0);
  view.zoom = zoom;
  moveView();
}
function windowing() {
  const bright = parts.bright.lastChild.value, contrast = parts.contrast.lastChild.value;
  parts.stage.classList.toggle("windowed", bright !== "100" || contrast !== "100");
  parts.stage.style.setProperty("--window", `brightness(${bright}%) contrast(${contrast}%)`);
}
function resetView() {
  parts.bright.lastChild.value = parts.contrast.lastChild.value = 100;
  windowing();
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  moveView();
}
// A volume's slices come in one picture; each is copied from it.
function loadSheet(item) {
  const image = new Image();
  image.addEventListener("load", () => {
    if (view.item !== item) return;
    view.sheet = image;
    drawSlice();
  });
  image.src = item.sheet;
}
function drawSlice() {
  const { item, sheet, plain, picture } = view;
  if (!sheet) return;
  const { slices, columns: across } = data.sheet, rows = Math.ceil(slices.length / across);
  const width = sheet.naturalWidth / across, height = sheet.naturalHeight / rows;
  const tile = slices.indexOf(onSheet(view.slice));
  for (const { frame } of [plain, picture]) {
    let canvas = frame.querySelector("canvas.slice");
    if (!canvas) {
      canvas = el("canvas.slice", { width, height, role: "img", "aria-label": `Scan ${item.id}` });
      if (frame === picture.frame) canvas.classList.add("under");
      frame.querySelector("img").replaceWith(canvas);
    }
    canvas.getContext("2d").drawImage(sheet, (tile % across) * width, Math.floor(tile / across) * height, width, height, 0, 0, width, height);
  }
  moveView();
}
function showSlice(slice) {
  if (view.slice === null) return;
  view.slice = clamp(slice, 0, data.slices - 1);
  state.slice = view.slice === view.item.slice ? "" : String(view.slice);
  redrawCase();
}
function setOpacity(value) {
  own.opacity.set(view.item.id, clamp(value, 0, 100));
  cells.get(view.item.id)?.picture.draw();
  redrawCase();
}
function stepCase(by) {
  const at = shown.indexOf(view.item), next = shown[clamp(at + by, 0, shown.length - 1)];
  if (next && next !== view.item) openCase(next.id);
}
viewer.addEventListener("close", () => {
  // The browser gave the focus back to the cell that was left; the reader may have gone on since.
  const at = Math.max(0, shown.indexOf(view.item));
  Object.assign(view, { item: null, picture: null, plain: null, sheet: null });
  parts.stage.replaceChildren();
  state.case = state.slice = "";
  writeHash();
  focusCell(at);
});

// Under the pointer: the cell, and the probability there.
let dragged = null;
function pointed(event) {
  const frame = event.target.closest(".frame");
  if (!frame) return null;
  const box = frame.getBoundingClientRect();
  const x = ((event.clientX - box.left - view.x) / view.zoom) / box.width, y = ((event.clientY - box.top - view.y) / view.zoom) / box.height;
  return { x, y, box, left: (event.clientX - box.left) / box.width, top: (event.clientY - box.top) / box.height };
}
parts.stage.addEventListener("pointermove", (event) => {
  const at = pointed(event), cursor = view.picture?.frame.querySelector(".cursor");
  if (dragged && at) {
    view.x = clamp(dragged.x + event.clientX - dragged.left, at.box.width * (1 - view.zoom), 0);
    view.y = clamp(dragged.y + event.clientY - dragged.top, at.box.height * (1 - view.zoom), 0);
    moveView();
  }
  parts.stage.classList.toggle("probing", Boolean(at));
  if (!at || !cursor) return;
  const [rows, columns] = view.item.grid.slice(-2);
  const row = clamp(Math.floor(at.y * rows), 0, rows - 1), column = clamp(Math.floor(at.x * columns), 0, columns - 1);
  cursor.style.left = `${column / columns * at.box.width * view.zoom + view.x}px`;
  cursor.style.top = `${row / rows * at.box.height * view.zoom + view.y}px`;
  cursor.style.width = `${at.box.width * view.zoom / columns}px`;
  cursor.style.height = `${at.box.height * view.zoom / rows}px`;
  const value = valueAt(view.map, clamp(at.x, 0, 0.9999), clamp(at.y, 0, 0.9999), !state.cells);
  parts.probe.textContent = `${labels[shownClass(view.item)]} ${value.toFixed(2)}`;
});
parts.stage.addEventListener("pointerleave", () => parts.stage.classList.remove("probing"));
parts.stage.addEventListener("wheel", (event) => {
  const at = pointed(event);
  if (!at) return;
  event.preventDefault();
  if (view.slice !== null && !event.ctrlKey) showSlice(view.slice + Math.sign(event.deltaY));
  else zoomTo(event.deltaY < 0 ? 1.25 : 0.8, at.left, at.top);
}, { passive: false });
parts.stage.addEventListener("pointerdown", (event) => {
  if (view.zoom > 1) dragged = { x: view.x, y: view.y, left: event.clientX, top: event.clientY };
});
addEventListener("pointerup", (event) => {
  dragged = null;
  // A slider that was dragged would keep the arrow keys to itself.
  if (event.target instanceof Element && event.target.matches("input[type=range]")) event.target.blur();
});

// The right side of the enlarged case: what is known of it.
function fillFacts(item) {
  const inSet = new Set(item.set ?? []);
  const classes = el("ul.classes", { "aria-label": "Map of" }, ...labels.map((name, index) => el("li", {},
    el(`button.row${index === item.label ? ".own" : ""}${inSet.has(index) ? ".in-set" : ""}`, {
      type: "button", "data-class": index,
      title: `Map of ${name}${index < 9 ? ` (${index + 1})` : ""}`,
      "aria-label": `Map of ${name}, probability ${item.probabilities[index].toFixed(3)}`,
      click: () => chooseClass(item, index),
    }, el("kbd", { "aria-hidden": "true" }, index < 9 ? index + 1 : ""), ...bar(item, index)))));
  parts.facts.replaceChildren(
    section("Calibrated probabilities", classes,
      el("p.note", {}, "Filled dot: the scan's label. ", item.set ? "Bracket: in the prediction set." : null)),
    ...(item.set ? [section("Prediction set", setOf(item))] : []),
    section("Scan", facts([
      ["scan id", el("code", {}, item.id)],
      ["uncertainty", meter(item.uncertainty)],
      ...(item.score ? [
        ["label's map peaks in lesion", `${item.score.hit > 0.5 ? "yes" : "no"} (by chance ${percent(item.score.area)})`],
        ["its mass in lesion", `${percent(item.score.mass)} (area ${percent(item.score.area)})`],
      ] : []),
      ["files", el("span", {}, link(item.overlay, "picture"), " ", item.animation ? link(item.animation, "moving slices") : null)],
    ])),
    ...(item.regions.length ? [section("Suspicious regions", regionTable(item))] : []),
    ...(item.near.length ? [section("Nearest training scans", neighbours(item))] : []),
  );
}
const section = (title, ...children) => el("section", {}, el("h3", {}, title), ...children);
const link = (href, text) => el("a", { href, target: "_blank", rel: "noreferrer" }, text);
function facts(rows) {
  return el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}
function meter(value) {
  const track = el("span.track", {}, el("i"));
  track.firstChild.style.width = `${100 * value}%`;
  return el("span.meter", {}, track, el("span.number", {}, value.toFixed(3)));
}
function setOf(item) {
  const names = item.set.map((index) => el(`span.chip${index === item.label ? ".own" : ""}`, {}, labels[index]));
  const note = item.abstained ? el("span.badge", {}, "abstained: for a person to read") : null;
  return el("p.chips", {}, ...(names.length ? names : [el("span.quiet", {}, "empty")]), note);
}
function size(region) {
  if (region.mm3 !== null) return region.mm3 < 1000 ? `${region.mm3.toFixed(0)} mm³` : `${(region.mm3 / 1000).toFixed(1)} cm³`;
  if (region.mm2 !== null) return region.mm2 < 100 ? `${region.mm2.toFixed(0)} mm²` : `${(region.mm2 / 100).toFixed(1)} cm²`;
  return percent(region.area);
}
function regionTable(item) {
  const rows = item.regions.map((region, number) => ({ region, number })).sort((a, b) => b.region.peak - a.region.peak);
  const middle = (region) => Math.round((region.slices[0] + region.slices[1]) / 2);
  return el("div.scroll", {}, el("table", {},
    el("thead", {}, el("tr", {}, ...["class", "peak", "mean", "size"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map(({ region, number }) => el("tr", { "data-region": number },
      el("td", {}, el("button", {
        type: "button", title: "Show its map", click: () => {
          if (region.slices) view.slice = middle(region);
          chooseClass(item, region.label);
        },
      }, labels[region.label])),
      el("td.number", {}, region.peak.toFixed(2)), el("td.number", {}, region.mean.toFixed(2)), el("td.number", {}, size(region)))))));
}
function neighbours(item) {
  return el("ul.near", {}, ...item.near.map((example) => el("li", {},
    el("img", { src: example.picture, alt: `Training scan ${example.id}`, loading: "lazy" }),
    el(`span.name${example.label === item.label ? ".own" : ""}`, { title: labels[example.label] }, labels[example.label]),
    el("span.quiet", { title: `cosine distance of the pooled features; ${example.id}` }, `distance ${example.distance.toFixed(3)}`))));
}
function chooseClass(item, index) {
  if (!(index in labels)) return;
  own.class.set(item.id, index);
  cells.get(item.id)?.picture.draw();
  if (view.item === item) redrawCase();
}
function markFacts(item) {
  const index = shownClass(item);
  for (const button of parts.facts.querySelectorAll("button[data-class]")) {
    button.setAttribute("aria-pressed", Number(button.dataset.class) === index);
  }
  for (const row of parts.facts.querySelectorAll("tr[data-region]")) {
    row.classList.toggle("shown", item.regions[row.dataset.region].label === index);
  }
}
// Marked in the table, marked in the picture.
parts.facts.addEventListener("pointerover", (event) => {
  const number = event.target.closest("tr[data-region]")?.dataset.region;
  for (const box of view.picture?.marks.querySelectorAll(".region") ?? []) box.classList.toggle("lit", box.dataset.region === number);
});

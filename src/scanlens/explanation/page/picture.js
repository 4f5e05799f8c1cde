// One picture: the scan, its map, the lesion's outline and the regions, one over another.
const VIEW = `0 0 ${WIDTH} ${HEIGHT}`;

// side: pixels of the map's longer side. Returns { frame, canvas, draw(slice) }.
function pictureOf(item, side, { map = true, alt = "" } = {}) {
  const scale = side / Math.max(HEIGHT, WIDTH);
  const frame = el("span.frame");
  frame.style.aspectRatio = `${WIDTH} / ${HEIGHT}`;
  const image = el("img", { src: item.scan, alt, draggable: "false", error: () => frame.classList.add("missing") });
  frame.append(image);
  if (!map) return { frame, image, draw() {} };
  image.className = "under";
  const canvas = el("canvas.map", {
    width: Math.max(1, Math.round(WIDTH * scale)), height: Math.max(1, Math.round(HEIGHT * scale)), "aria-hidden": "true",
  });
  const marks = svg("svg", { viewBox: VIEW, preserveAspectRatio: "none", class: "marks", "aria-hidden": "true" });
  frame.append(canvas, marks);
  function draw(slice = item.slice) {
    const index = shownClass(item);
    canvas.style.opacity = shownOpacity(item) / 100;
    paint(canvas, plane(item, index, slice), !state.cells);
    marks.replaceChildren(...regionMarks(item, index, slice), ...outlineMarks(item, slice));
  }
  return { frame, image, canvas, marks, draw };
}
// The slice on the sheet that is nearest to one of the volume.
function onSheet(slice) {
  return data.sheet.slices.reduce((best, one) => (Math.abs(one - slice) < Math.abs(best - slice) ? one : best));
}
function outlineMarks(item, slice) {
  const path = item.outline[slice === null ? 0 : onSheet(slice)];
  return path ? [svg("path", { d: path, class: "lesion" })] : [];
}
function regionMarks(item, index, slice) {
  return item.regions
    .map((region, number) => ({ region, number }))
    .filter(({ region }) => region.label === index)
    .filter(({ region }) => slice === null || !region.slices || (slice >= region.slices[0] && slice <= region.slices[1]))
    .map(({ region, number }) => {
      const [top, left, bottom, right] = region.box, size = Math.max(WIDTH, HEIGHT) / 36;
      const inside = top * HEIGHT < size * 1.4, end = left > 0.92, text = svg("text", {
        x: end ? WIDTH - size * 0.2 : left * WIDTH + size * 0.3, "text-anchor": end ? "end" : "start", y: top * HEIGHT + (inside ? size * 1.1 : -size * 0.4), "font-size": size,
      });
      text.textContent = region.peak.toFixed(2);
      return svg("g", { class: "region", "data-region": number },
        svg("rect", { x: left * WIDTH, y: top * HEIGHT, width: (right - left) * WIDTH, height: (bottom - top) * HEIGHT }), text);
    });
}
// A class with its calibrated probability as a bar.
function bar(item, index) {
  const track = el("span.track", {}, el("i"));
  track.firstChild.style.width = `${100 * item.probabilities[index]}%`;
  return [
    el("span.name", { title: labels[index] }, labels[index]),
    track,
    el("span.number", {}, item.probabilities[index].toFixed(2)),
  ];
}
// Text of the verdict: label, and what was predicted.
function verdict(item) {
  return wrong(item)
    ? el("span.verdict.wrong", {}, el("b", {}, labels[item.label]), " taken for ", el("b", {}, labels[item.predicted]))
    : el("span.verdict.right", {}, el("b", {}, labels[item.label]), " recognised");
}

// Maps to colours. Probabilities are interpolated, then coloured: colours between cells stay on the scale.
const PALETTE = new Uint32Array(bytes(data.palette).buffer);

// Values 0 to 255 of one class's map on one slice: { values, rows, columns }.
function plane(item, index, slice) {
  const grid = item.grid, [rows, columns] = grid.slice(-2), depth = grid.length === 3 ? grid[0] : 1;
  const size = rows * columns, start = index * depth * size, all = bytes(item.maps);
  if (depth === 1) return { values: all.subarray(start, start + size), rows, columns };
  const at = clamp((slice + 0.5) * depth / data.slices - 0.5, 0, depth - 1);
  const low = Math.floor(at), share = at - low, high = Math.min(low + 1, depth - 1), values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    values[i] = all[start + low * size + i] * (1 - share) + all[start + high * size + i] * share;
  }
  return { values, rows, columns };
}

// For each of `length` pixels the two cells around it and the share of the second; half-pixel centres.
function taps(cells, length, smooth) {
  const low = new Uint16Array(length), high = new Uint16Array(length), share = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const centre = (i + 0.5) * cells / length;
    const at = smooth ? clamp(centre - 0.5, 0, cells - 1) : Math.floor(centre);
    low[i] = Math.floor(at);
    high[i] = Math.min(low[i] + 1, cells - 1);
    share[i] = at - low[i];
  }
  return { low, high, share };
}
function between(map, top, bottom, down, left, right, along) {
  const { values, columns } = map;
  const above = values[top * columns + left] * (1 - along) + values[top * columns + right] * along;
  const below = values[bottom * columns + left] * (1 - along) + values[bottom * columns + right] * along;
  return above * (1 - down) + below * down;
}
function paint(canvas, map, smooth) {
  // Pixels are written from here each time: a canvas in main memory is the quicker one.
  const { width, height } = canvas, context = canvas.getContext("2d", { willReadFrequently: true });
  const picture = context.createImageData(width, height), pixels = new Uint32Array(picture.data.buffer);
  const across = taps(map.columns, width, smooth), down = taps(map.rows, height, smooth);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const value = between(map, down.low[y], down.high[y], down.share[y], across.low[x], across.high[x], across.share[x]);
      pixels[i] = PALETTE[Math.round(value)];
    }
  }
  context.putImageData(picture, 0, 0);
}

// Probability at a point, given as shares of width and height.
function valueAt(map, x, y, smooth) {
  const fine = 4096;
  const across = taps(map.columns, fine, smooth), down = taps(map.rows, fine, smooth);
  const i = clamp(Math.floor(x * fine), 0, fine - 1), j = clamp(Math.floor(y * fine), 0, fine - 1);
  return between(map, down.low[j], down.high[j], down.share[j], across.low[i], across.high[i], across.share[i]) / 255;
}

// Every colour bar of the page: the scale over mid-grey, and its ticks.
function legend(root) {
  for (const canvas of root.querySelectorAll("canvas.ramp")) {
    const context = canvas.getContext("2d"), picture = context.createImageData(256, 1), colours = bytes(data.palette);
    for (let i = 0; i < 256; i++) {
      const alpha = colours[4 * i + 3] / 255;
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = data.backdrop * (1 - alpha) + colours[4 * i + c] * alpha;
      picture.data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }
  for (const ticks of root.querySelectorAll(".ticks")) {
    ticks.replaceChildren(...data.ticks.map((tick) => el("span", {}, String(tick).replace("0.", "."))));
  }
}

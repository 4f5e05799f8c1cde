// The page's data. Texts come from strangers: they become text nodes and attribute values, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const { labels, cases } = data;
const [HEIGHT, WIDTH] = data.picture;
const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const caseOf = new Map(cases.map((item) => [item.id, item]));
const has = {
  lesions: cases.some((item) => item.score || Object.keys(item.outline).length),
  regions: cases.some((item) => item.regions.length),
  sets: cases.some((item) => item.set),
  abstained: cases.some((item) => item.abstained),
  near: cases.some((item) => item.near.length),
};

// An element with attributes, listeners (functions) and children; a class is written as the tag's suffix.
function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  set(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(node, attributes);
  node.append(...children);
  return node;
}
function set(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
}
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
const isClass = (text) => /^\d{1,6}$/.test(text) && Number(text) < labels.length;
const wrong = (item) => item.label !== item.predicted;
const confidence = (item) => item.probabilities[item.predicted];
const strongest = (item) => item.regions.reduce((most, region) => Math.max(most, region.peak), 0);
const largest = (item) => item.regions.reduce((most, region) => Math.max(most, region.area), 0);

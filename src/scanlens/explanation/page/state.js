// What the reader chose. It lives in the address, so that a link opens the same view.
const DEFAULTS = {
  sort: "uncertainty", down: true, label: "", predicted: "", only: "", find: "",
  map: "predicted", opacity: 100, on: true, outline: true, regions: true, theme: "auto",
  case: "", class: "", slice: "", cells: false, pair: false,
};
const state = { ...DEFAULTS };
const own = { opacity: new Map(), class: new Map() };

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [key, usual] of Object.entries(DEFAULTS)) {
    const text = given.get(key);
    if (text === null) state[key] = usual;
    else if (typeof usual === "boolean") state[key] = text === "1";
    else if (typeof usual === "number") state[key] = clamp(Number(text) || 0, 0, 100);
    else state[key] = text;
  }
  for (const key of ["label", "predicted", "class"]) if (!isClass(state[key])) state[key] = "";
  if (!isClass(state.map) && !["predicted", "label"].includes(state.map)) state.map = DEFAULTS.map;
  if (!SORTS.some(([key]) => key === state.sort)) state.sort = DEFAULTS.sort;
  if (!ONLY.some(([key]) => key === state.only)) state.only = DEFAULTS.only;
  if (!THEMES.some(([key]) => key === state.theme)) state.theme = DEFAULTS.theme;
  if (!caseOf.has(state.case)) state.case = "";
  if (state.case && state.class !== "") own.class.set(state.case, Number(state.class));
}
function writeHash() {
  const changed = new URLSearchParams();
  state.class = own.class.has(state.case) ? String(own.class.get(state.case)) : "";
  for (const [key, usual] of Object.entries(DEFAULTS)) {
    if (state[key] === usual || (!state.case && key === "slice")) continue;
    changed.set(key, typeof usual === "boolean" ? Number(state[key]) : state[key]);
  }
  const text = changed.toString(), hash = text && `#${text}`;
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

// The class whose map a case shows: its own choice, else the one for all.
function shownClass(item) {
  if (own.class.has(item.id)) return own.class.get(item.id);
  return state.map === "predicted" || state.map === "label" ? item[state.map] : Number(state.map);
}
function shownOpacity(item) {
  return own.opacity.has(item.id) ? own.opacity.get(item.id) : state.opacity;
}

const SORTS = [
  ["uncertainty", "uncertainty", (item) => item.uncertainty],
  // The surest error first, then what is right, the least sure first.
  ["error", "error", (item) => (wrong(item) ? 1 + confidence(item) : 1 - item.probabilities[item.label])],
  ["confidence", "confidence", confidence],
  ...(has.regions ? [["size", "largest region", largest], ["peak", "strongest region", strongest]] : []),
  ...(has.near ? [["distance", "distance to training", (item) => (item.near.length ? item.near[0].distance : -1)]] : []),
  ...(has.lesions ? [["mass", "map's mass in lesion", (item) => (item.score ? item.score.mass : -1)]] : []),
  ["label", "label", (item) => -item.label],
  ["id", "scan id", (item) => -ranks.get(item.id)],
];
const ONLY = [
  ["", "all"], ["wrong", "wrong"], ["right", "right"],
  ...(has.abstained ? [["abstained", "abstained"]] : []),
  ...(has.sets ? [["missed", "label outside the set"]] : []),
];
const THEMES = [["auto", "as system"], ["light", "light"], ["dark", "dark"], ["black", "reading room"]];
const ranks = new Map([...cases].sort((a, b) => (a.id < b.id ? -1 : 1)).map((item, index) => [item.id, index]));

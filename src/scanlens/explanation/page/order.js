// Which cases are shown, in which order.
let shown = [];

function fits(item) {
  if (state.label !== "" && item.label !== Number(state.label)) return false;
  if (state.predicted !== "" && item.predicted !== Number(state.predicted)) return false;
  if (state.find && !item.id.toLowerCase().startsWith(state.find.trim().toLowerCase())) return false;
  switch (state.only) {
    case "wrong": return wrong(item);
    case "right": return !wrong(item);
    case "abstained": return item.abstained;
    case "missed": return item.set !== null && !item.set.includes(item.label);
    default: return true;
  }
}
function arrange() {
  const key = SORTS.find(([name]) => name === state.sort)[2], sign = state.down ? -1 : 1;
  shown = cases.filter(fits).sort((a, b) => sign * (key(a) - key(b)) || ranks.get(a.id) - ranks.get(b.id));
}

// The timeline under hand and keyboard: where one looks, what is chosen, what is told of it.
const scroll = $("scroll"), frame = $("timeline"), overview = $("overview"), tip = $("tip");
let queued = false;

function schedulePaint() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    paint();
    paintOverview();
  });
}

// A picture that fails must not hide the verdict: it says so in its own place.
function fail(error) {
  $("failed").hidden = false;
  $("failed").textContent = `The timeline could not be drawn (${error.message}). Verdict, story and ledger do not depend on it.`;
}

function fit() { return Math.min(PX_MAX, plotWidth() / columns()); }

function resize() {
  const ratio = window.devicePixelRatio || 1;
  const { boxes, height } = layout();
  paper.boxes = boxes;
  paper.width = frame.clientWidth;
  context.font = BOLD;
  const names = view.lanes.map((lane) => context.measureText(laneTitle(lane)).width + (laneKind[lane] === "page" ? 44 : 0));
  paper.gutter = Math.min(Math.max(76, ...names.map((width) => width + 26)), Math.min(GUTTER_MAX, paper.width * .3));
  $("sizer").style.height = `${height + AXIS}px`;
  paper.height = Math.max(120, Math.min(height + AXIS, scroll.clientHeight || height + AXIS));
  for (const [each, tall] of [[canvas, paper.height], [overview, 22]]) {
    each.width = Math.round(paper.width * ratio);
    each.height = Math.round(tall * ratio);
    each.style.width = `${paper.width}px`;
    each.style.height = `${tall}px`;
  }
  clampView();
  schedulePaint();
}

function clampView() {
  view.px = Math.min(Math.max(view.px, fit()), PX_MAX);
  view.left = Math.min(Math.max(view.left, 0), Math.max(0, columns() - plotWidth() / view.px));
  overview.hidden = plotWidth() / view.px >= columns() - 1e-6;
}

function zoom(factor, at = paper.gutter + plotWidth() / 2) {
  const col = view.left + (at - paper.gutter) / view.px;
  view.px *= factor;
  clampView();
  view.left = col - (at - paper.gutter) / view.px;
  clampView();
  schedulePaint();
}

function showAll() { view.px = 0; view.left = 0; clampView(); schedulePaint(); }

// Brings a place into sight, its lane too.
function reveal(place) {
  const col = column(place), width = plotWidth() / view.px;
  if (col < view.left + 1 || col > view.left + width - 1) view.left = col - width / 2;
  clampView();
  const box = paper.boxes.find((each) => each.lane === E.task[place]);
  if (!box) return;
  const room = paper.height - AXIS;
  if (box.y < scroll.scrollTop || box.y + box.height > scroll.scrollTop + room) scroll.scrollTop = Math.max(0, box.y - room / 3);
}

// `quiet`: nobody asked for it, so neither the story moves nor the address of the page.
function select(place, { quiet = false } = {}) {
  if (place === NEVER || place === undefined) return;
  view.selected = place;
  reveal(place);
  tellDetail(place);
  markLists(place, quiet);
  schedulePaint();
  if (!quiet) history.replaceState(null, "", `#event=${place}`);
}

function stepBy(count, sameTask = false) {
  const places = view.places;
  if (!places.length) return;
  let n = view.selected === NEVER ? (count > 0 ? -1 : places.length) : view.rank[view.selected];
  if (view.selected !== NEVER && !isVisible(view.selected) && count > 0) n -= 1;
  const task = view.selected === NEVER ? -1 : E.task[view.selected];
  do { n += count; } while (sameTask && task >= 0 && places[n] !== undefined && E.task[places[n]] !== task);
  if (places[n] !== undefined) select(places[n]);
}

function nextViolation() {
  if (!brokenPlaces.length) return;
  const main = storyViolation();
  const after = view.selected === NEVER ? main : brokenPlaces.find((place) => place > view.selected);
  choosePlace(after === undefined || after === NEVER ? brokenPlaces[0] : after);
}

// A place that the filters hide is shown by showing everything.
function choosePlace(place) {
  if (!isVisible(place)) {
    clearFilters();
    if (!isVisible(place)) setShow(hasWords(place) ? "told" : "all");
    if (view.px < 8) { view.px = 8; clampView(); }
  }
  select(place);
}

// --- what stands under the pointer ---------------------------------------------------

function eventUnder(x, y) {
  const col = view.left + (x - paper.gutter) / view.px;
  const box = boxUnder(y);
  const near = view.px >= 5 ? .5 : 4 / view.px;
  let best = NEVER, distance = Infinity;
  for (let n = Math.max(0, Math.floor(col - near)); n <= Math.min(view.places.length - 1, Math.ceil(col + near)); n++) {
    const place = view.places[n];
    const away = Math.abs(n + .5 - col) + (box && box.kind === "task" && E.task[place] !== box.lane ? near : 0);
    if (away < distance) { distance = away; best = place; }
  }
  return best;
}
function boxUnder(y) { return paper.boxes.find((box) => y >= box.y && y < box.y + box.height); }

function spanUnder(x, y) {
  const box = boxUnder(y);
  if (!box) return null;
  let found = null;
  for (const span of spansOf[box.lane]) {
    if (span.kind === "task" || X(column(span.begin)) > x || X(columnEnd(span.end)) < x || !isShown(span)) continue;
    const { y: top, h } = look(box, span);
    if (y >= top - 1 && y <= top + h + 1 && (!found || !BEHIND.includes(span.kind))) found = span;
  }
  return found;
}

function pointerAt(event) {
  const rect = canvas.getBoundingClientRect();
  return [event.clientX - rect.left, event.clientY - rect.top - AXIS + scroll.scrollTop, event.clientY - rect.top];
}

function hover(event) {
  const [x, y, fromTop] = pointerAt(event);
  if (x < paper.gutter || fromTop < 0) { tip.hidden = true; return; }
  const place = eventUnder(x, y), span = spanUnder(x, y);
  if (place === NEVER && !span) { tip.hidden = true; return; }
  tip.replaceChildren();
  if (place !== NEVER) {
    const line = element("p", "", element("span", "step", String(E.step[place])), element("b", "", taskOf(place)), ` ${wordsOf(place)}`);
    tip.append(line);
    for (const { rule } of brokenAt.get(place) || []) tip.append(element("p", "", `breaks ${rule}`));
  }
  if (span) tip.append(element("p", "", spanWords(span)));
  tip.hidden = false;
  const width = tip.offsetWidth;
  tip.style.left = `${Math.max(4, Math.min(x + 14, paper.width - width - 6))}px`;
  tip.style.top = `${Math.min(fromTop + 16, Math.max(paper.height - tip.offsetHeight - 4, 4))}px`;
}

const SPAN_WORDS = {
  lock: "holds", window: "", heard: "", unheard: "", op: "", registered: "", entry: "maps", cached: "caches",
  held: "the frame is", mapped: "the host has it", unmapped: "the host has it", free: "the frame is",
  announced: "in", unannounced: "not every MMU was told:", reached: "mapped by",
};
function spanWords(span) {
  const end = span.end === NEVER ? "the end" : E.step[span.end];
  const stale = span.stale === NEVER ? "" : `; its page was freed at step ${E.step[span.stale]}`;
  return `${SPAN_WORDS[span.kind] || ""} ${span.label}, step ${E.step[span.begin]} to ${end}${stale}`.trim();
}

// --- what is told of the chosen event ------------------------------------------------

function element(name, cls, ...children) {
  const made = document.createElement(name);
  if (cls) made.className = cls;
  made.append(...children);
  return made;
}

function tellDetail(place) {
  const head = element("p", "head", element("span", "step", `step ${E.step[place]}`), element("b", "", taskOf(place)),
    element("span", "words", wordsOf(place)), element("span", "kind", `${kindOf(place)[KIND_NAME]}, line ${place + 2} of the log`));
  const fields = element("p", "fields");
  for (const [name, value] of fieldsOf(place)) fields.append(element("span", "", `${name} `, element("b", "", value === "" ? "none" : value)));
  const broken = (brokenAt.get(place) || []).map(({ rule, message }) => element("p", "broken", `${rule}: ${message}`));
  $("detail").replaceChildren(head, ...broken, fields);
}

// --- the whole run below --------------------------------------------------------------

function paintOverview() {
  if (overview.hidden) return;
  const c = overview.getContext("2d");
  const ratio = window.devicePixelRatio || 1;
  const scale = plotWidth() / columns();
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  fill(c, 0, 0, paper.width, 22, colour.soft);
  const from = paper.gutter + view.left * scale, width = Math.max(4, plotWidth() / view.px * scale);
  fill(c, from, 2, width, 18, colour.card);
  c.strokeStyle = colour.muted; c.strokeRect(from + .5, 2.5, width - 1, 17);
  for (const place of brokenPlaces) fill(c, paper.gutter + column(place) * scale - 1, 4, 2, 14, colour.bad);
  if (view.selected >= 0) fill(c, paper.gutter + column(view.selected) * scale - 1, 2, 2, 18, colour.focus);
}

function bindTimeline() {
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, left: view.left, moved: false }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(event);
    if (Math.abs(event.clientX - drag.x) > 4) drag.moved = true;
    if (drag.moved) { tip.hidden = true; view.left = drag.left - (event.clientX - drag.x) / view.px; clampView(); schedulePaint(); }
    return undefined;
  });
  canvas.addEventListener("pointerup", (event) => {
    const [x, y] = pointerAt(event);
    if (drag && !drag.moved && x >= paper.gutter) select(eventUnder(x, y));
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  scroll.addEventListener("scroll", schedulePaint, { passive: true });
  frame.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(Math.exp(-event.deltaY / 240), pointerAt(event)[0]); }
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      view.left += (event.shiftKey ? event.deltaY : event.deltaX) / view.px;
      clampView(); schedulePaint();
    }
  }, { passive: false });
  const glide = (event) => {
    if (!(event.buttons & 1)) return;
    const at = (event.clientX - overview.getBoundingClientRect().left - paper.gutter) / plotWidth() * columns();
    view.left = at - plotWidth() / view.px / 2;
    clampView(); schedulePaint();
  };
  overview.addEventListener("pointerdown", glide);
  overview.addEventListener("pointermove", glide);
  $("prev").onclick = () => stepBy(-1);
  $("next").onclick = () => stepBy(1);
  $("zoom-in").onclick = () => zoom(1.6);
  $("zoom-out").onclick = () => zoom(1 / 1.6);
  $("fit").onclick = showAll;
  $("to-violation").onclick = nextViolation;
  new ResizeObserver(resize).observe(frame);
}

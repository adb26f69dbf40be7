// The run, as the page was given it. Places are numbers of events, counted from 0; NEVER is the
// place of what did not happen.
const $ = (id) => document.getElementById(id);
addEventListener("error", (event) => fail(event.error || event));
const raw = JSON.parse($("run").textContent);
const S = raw.strings;
const NEVER = -1;
const N = raw.events.step.length;
const KIND_NAME = 0, KIND_FAMILY = 1, KIND_FAMILY_WORDS = 2, KIND_FIELDS = 3;

const E = {
  step: Int32Array.from(raw.events.step),
  task: Int32Array.from(raw.events.task),
  mmu: Int32Array.from(raw.events.mmu),
  kind: Uint8Array.from(raw.events.kind),
  text: Int32Array.from(raw.events.text),
  pages: Int32Array.from(raw.pages),
  values: Int32Array.from(raw.events.values),
  valuesAt: new Int32Array(N + 1),
};
for (let place = 0; place < N; place++) {
  E.valuesAt[place + 1] = E.valuesAt[place] + raw.kinds[E.kind[place]][KIND_FIELDS].length;
}

const laneKind = raw.lanes.map((lane) => lane[0]);
const laneName = raw.lanes.map((lane) => lane[1]);
const involved = new Set(raw.involved);
const pageLane = new Map();
raw.lanes.forEach(([kind, name], lane) => { if (kind === "page") pageLane.set(Number(name), lane); });

// Spans, by lane.
const SPAN_FIELDS = 8;
const spansOf = raw.lanes.map(() => []);
for (let at = 0; at < raw.spans.length; at += SPAN_FIELDS) {
  const [kind, lane, row, begin, end, label, stale, page] = raw.spans.slice(at, at + SPAN_FIELDS);
  const span = { kind: S[kind], lane, row, begin, end, label: S[label], stale, page };
  spansOf[lane].push(span);
}

// Violations by the place at which they were found.
const brokenAt = new Map();
raw.violations.forEach(([rule, message, place]) => {
  if (!brokenAt.has(place)) brokenAt.set(place, []);
  brokenAt.get(place).push({ rule, message });
});
const brokenPlaces = [...brokenAt.keys()].sort((a, b) => a - b);

function pagesOf(place) { return raw.pageSets[E.pages[place]]; }
function kindOf(place) { return raw.kinds[E.kind[place]]; }
function taskOf(place) { return laneName[E.task[place]]; }

// What happened, in words; the name of the event where no story has words for it.
function wordsOf(place) { return S[E.text[place]] || kindOf(place)[KIND_NAME].replaceAll("_", " "); }
function hasWords(place) { return S[E.text[place]] !== ""; }

function fieldsOf(place) {
  return kindOf(place)[KIND_FIELDS].map((name, n) => [name, S[E.values[E.valuesAt[place] + n]]]);
}

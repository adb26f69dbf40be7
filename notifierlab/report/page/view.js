// What is shown: the events that pass the filters, and where each of them stands.
//
// Time is counted in visible events: each has a column of its own, and what lasts covers
// the columns of what happened meanwhile. A lock under which nothing visible happened has
// no width; so the picture of a story is as clear as the story.
const TRAIL = 3;     // columns after the last event: what lasts beyond it can be seen to do so
const PX_MAX = 96;

const view = {
  show: raw.stories.length ? "story" : "told", story: 0, task: -1, page: NEVER, kind: -1, text: "",
  places: new Int32Array(0),          // the visible events
  rank: new Int32Array(N + 1),        // how many of them come before a place
  lanes: [],                          // the lanes that have any of them
  selected: NEVER,
  px: 10, left: 0,                    // pixels a column; the column at the left edge
};
const listeners = [];

function storyPlaces() {
  const chosen = new Set();
  for (const [place] of raw.stories[view.story] || []) if (place >= 0) chosen.add(place);
  return chosen;
}

function applyFilters() {
  const story = view.show === "story" ? storyPlaces() : null;
  const words = view.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const said = words.length ? S.map((text) => text.toLowerCase()) : null;
  const inSet = view.page < 0 ? null : raw.pageSets.map((pages) => pages.includes(view.page));
  const places = [];
  for (let place = 0; place < N; place++) {
    view.rank[place] = places.length;
    if (story ? !story.has(place) : view.show === "told" && !hasWords(place)) continue;
    if (view.task >= 0 && E.task[place] !== view.task) continue;
    if (inSet && !inSet[E.pages[place]]) continue;
    if (view.kind >= 0 && E.kind[place] !== view.kind) continue;
    if (said && !words.every((word) => mentions(place, word, said))) continue;
    places.push(place);
  }
  view.rank[N] = places.length;
  view.places = Int32Array.from(places);
  view.lanes = visibleLanes();
  if (view.selected >= 0 && !isVisible(view.selected)) view.selected = NEVER;
  listeners.forEach((listener) => listener());
}

function mentions(place, word, said) {
  if (said[E.text[place]].includes(word) || taskOf(place).toLowerCase().includes(word)) return true;
  if (kindOf(place)[KIND_NAME].includes(word)) return true;
  for (let at = E.valuesAt[place]; at < E.valuesAt[place + 1]; at++) if (said[E.values[at]].includes(word)) return true;
  return false;
}

// Tasks, then MMUs, then pages: those that a visible event is about; of pages only the one asked for.
function visibleLanes() {
  const used = new Set();
  const sets = new Set();
  for (const place of view.places) {
    used.add(E.task[place]);
    if (E.mmu[place] >= 0) used.add(E.mmu[place]);
    sets.add(E.pages[place]);
  }
  for (const set of sets) {
    for (const pfn of raw.pageSets[set]) {
      const lane = pageLane.get(pfn);
      if (lane === undefined || (view.page >= 0 && pfn !== view.page)) continue;
      if (involved.has(lane) || involved.size === 0 || pfn === view.page) used.add(lane);
    }
  }
  const order = { task: 0, mmu: 1, page: 2 };
  return [...used].sort((a, b) => order[laneKind[a]] - order[laneKind[b]] || a - b);
}

function isVisible(place) { return view.rank[place + 1] > view.rank[place]; }

// Where a place stands, in columns.
function column(place) {
  if (isVisible(place)) return view.rank[place] + 0.5;
  const last = view.places.length;
  return view.rank[place] === last && last > 0 ? last + TRAIL * 0.75 : view.rank[place];
}
function columnEnd(place) { return place === NEVER ? view.places.length + TRAIL : column(place); }
function columns() { return view.places.length + TRAIL; }

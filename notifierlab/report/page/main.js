// Filters, keys, theme, printing; and the start.
const THEMES = ["system", "light", "dark"];

function fillFilters() {
  const options = (select, first, entries) => {
    select.replaceChildren(new Option(first, "-1"), ...entries.map(([text, value]) => new Option(text, String(value))));
  };
  const lanes = raw.lanes.map((_, lane) => lane);
  options($("f-task"), "all", lanes.filter((lane) => laneKind[lane] === "task").map((lane) => [laneName[lane], lane]));
  const pages = lanes.filter((lane) => laneKind[lane] === "page");
  pages.sort((a, b) => involved.has(b) - involved.has(a) || Number(laneName[a]) - Number(laneName[b]));
  options($("f-page"), "all", pages.map((lane) => [`page ${laneName[lane]}`, laneName[lane]]));
  const groups = new Map();
  raw.kinds.forEach(([name, , family], n) => {
    if (!groups.has(family)) groups.set(family, []);
    groups.get(family).push([name, n]);
  });
  options($("f-kind"), "all", []);
  for (const [family, kinds] of groups) {
    const group = element("optgroup", "");
    group.label = family;
    kinds.sort((a, b) => (a[0] < b[0] ? -1 : 1));
    group.append(...kinds.map(([name, n]) => new Option(name.replaceAll("_", " "), String(n))));
    $("f-kind").append(group);
  }
}

function readFilters() {
  view.show = document.querySelector("input[name=show]:checked").value;
  view.task = Number($("f-task").value);
  view.page = Number($("f-page").value);
  view.kind = Number($("f-kind").value);
  view.text = $("f-text").value;
  $("f-clear").hidden = view.task < 0 && view.page < 0 && view.kind < 0 && !view.text;
  applyFilters();
  showAll();
}

function setShow(show) {
  document.querySelector(`input[name=show][value=${show}]`).checked = true;
  readFilters();
}

function clearFilters() {
  for (const name of ["f-task", "f-page", "f-kind"]) $(name).value = "-1";
  $("f-text").value = "";
  readFilters();
}

function bindFilters() {
  const form = $("filters");
  // Whoever asks for a task, a page or an event asks all of the run: a story is short, and may not
  // have it; and what no story has words for is not among what can be told.
  const leaveStory = (event) => {
    const { name, id, value } = event.target;
    if (name !== "show" && value !== "-1" && value !== "") {
      const silent = id === "f-kind" && !kindHasWords(Number(value));
      const show = document.querySelector("input[name=show]:checked").value;
      if (silent || show === "story") document.querySelector(`input[name=show][value=${silent ? "all" : "told"}]`).checked = true;
    }
    readFilters();
  };
  form.addEventListener("change", leaveStory);
  $("f-text").addEventListener("input", leaveStory);
  form.addEventListener("submit", (event) => event.preventDefault());
  $("f-clear").onclick = clearFilters;
  listeners.push(() => {
    const shown = view.places.length.toLocaleString("en").replaceAll(",", " ");
    $("count").textContent = `${shown} of ${N.toLocaleString("en").replaceAll(",", " ")} events`;
    resize();
    renderEvents();
  });
}

function kindHasWords(kind) {
  for (let place = 0; place < N; place++) if (E.kind[place] === kind) return hasWords(place);
  return false;
}

// --- keys -----------------------------------------------------------------------------

const KEYS = {
  ArrowRight: () => stepBy(1), ArrowLeft: () => stepBy(-1), j: () => stepBy(1), k: () => stepBy(-1),
  ArrowDown: () => stepBy(1, true), ArrowUp: () => stepBy(-1, true),
  Home: () => select(view.places[0]), End: () => select(view.places[view.places.length - 1]),
  v: nextViolation, "+": () => zoom(1.6), "=": () => zoom(1.6), "-": () => zoom(1 / 1.6), 0: showAll,
  s: () => raw.stories.length && setShow("story"), e: () => setShow("all"),
  "/": () => $("f-text").focus(), t: nextTheme, "?": () => $("keys").showModal(),
};
// These mean something elsewhere on the page: they are taken only where no list is scrolled.
const SCROLLING = ["ArrowDown", "ArrowUp", "Home", "End"];

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (SCROLLING.includes(event.key) && !frame.contains(event.target)) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

// --- theme and print ------------------------------------------------------------------

function remembered() { try { return localStorage.getItem("notifierlab-theme") || "system"; } catch { return "system"; } }

function setTheme(theme) {
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
  try { localStorage.setItem("notifierlab-theme", theme); } catch { /* a page in a file may not remember */ }
  readColours();
  schedulePaint();
}
function nextTheme() {
  const now = document.documentElement.dataset.theme || "system";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

// The log is in the page, packed: unpacked again it is the file that was drawn.
async function saveLog() {
  const packed = Uint8Array.from(atob($("log").textContent), (letter) => letter.charCodeAt(0));
  const log = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  const link = element("a", "");
  link.href = URL.createObjectURL(log);
  link.download = $("save").dataset.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function bindPage() {
  document.addEventListener("keydown", onKey);
  $("theme").onclick = nextTheme;
  $("keys-open").onclick = () => $("keys").showModal();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); schedulePaint(); });
  const copy = $("copy");
  if (copy) copy.onclick = () => {
    const selection = getSelection();
    selection.selectAllChildren($("replay"));
    navigator.clipboard?.writeText($("replay").textContent).catch(() => document.execCommand("copy"));
    copy.textContent = "Copied";
  };
  $("save").onclick = saveLog;
  addEventListener("beforeprint", () => printLedger(true));
  addEventListener("afterprint", () => printLedger(false));
}

function start() {
  readColours();
  fillFilters();
  bindFilters();
  bindTimeline();
  bindLists();
  bindPage();
  bindLedger();
  setTheme(remembered());
  if (raw.stories.length) showStory(0); else openTab("events");
  applyFilters();
  showAll();
  const asked = /^#event=(\d+)$/.exec(location.hash);
  if (asked && Number(asked[1]) < N) choosePlace(Number(asked[1]));
  else if (raw.stories.length && storyViolation() !== NEVER && isVisible(storyViolation())) select(storyViolation(), { quiet: true });
  requestAnimationFrame(() => requestAnimationFrame(() => {
    document.documentElement.dataset.ready = "true";
    performance.mark("ready");
  }));
}

start();

// Beside the timeline: the story, which stands in the page, and all events, of which only the
// visible rows are made.
const EVENT_HEIGHT = 24;
const TABS = ["story", "violations", "events"];
const eventsPanel = $("panel-events"), storyPanel = $("panel-story");

function storyRule() { const rows = document.querySelectorAll("ol.story"); return rows.length ? rows[view.story].dataset.rule : ""; }
function storyViolation() {
  const strong = (raw.stories[view.story] || []).find(([, kind]) => kind === "strong");
  return strong ? strong[0] : brokenPlaces.length ? brokenPlaces[0] : NEVER;
}

function renderEvents() {
  const total = view.places.length;
  eventsPanel.firstElementChild.style.height = `${total * EVENT_HEIGHT}px`;
  if (eventsPanel.hidden) return;
  const from = Math.max(0, Math.floor(eventsPanel.scrollTop / EVENT_HEIGHT) - 8);
  const to = Math.min(total, from + Math.ceil(eventsPanel.clientHeight / EVENT_HEIGHT) + 16);
  const rows = [];
  for (let n = from; n < to; n++) rows.push(eventRow(view.places[n], n, total));
  const list = $("events");
  list.style.transform = `translateY(${from * EVENT_HEIGHT}px)`;
  list.replaceChildren(...rows);
}

function eventRow(place, n, total) {
  const row = element("li", brokenAt.has(place) ? "bad" : hasWords(place) ? "" : "quiet",
    element("span", "step", String(E.step[place])), element("span", "task", taskOf(place)), element("span", "text", wordsOf(place)));
  row.dataset.place = place;
  row.title = wordsOf(place);
  row.setAttribute("aria-posinset", n + 1);
  row.setAttribute("aria-setsize", total);
  if (place === view.selected) row.setAttribute("aria-current", "true");
  return row;
}

function markLists(place, quiet = false) {
  for (const row of document.querySelectorAll("ol.story:not([hidden]) li")) {
    const here = Number(row.dataset.place ?? NEVER) === place;
    row.toggleAttribute("aria-current", false);
    if (!here) continue;
    row.setAttribute("aria-current", "true");
    if (!storyPanel.hidden && !quiet) keepInSight(storyPanel, row.offsetTop - storyPanel.offsetTop, row.offsetHeight);
  }
  if (!eventsPanel.hidden && isVisible(place)) keepInSight(eventsPanel, view.rank[place] * EVENT_HEIGHT, EVENT_HEIGHT);
  renderEvents();
}

function keepInSight(panel, top, height) {
  if (top < panel.scrollTop) panel.scrollTop = top - height;
  else if (top + height > panel.scrollTop + panel.clientHeight) panel.scrollTop = top + 2 * height - panel.clientHeight;
}

function openTab(name) {
  for (const each of TABS) {
    const chosen = each === name;
    $(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${each}`).tabIndex = chosen ? 0 : -1;
    $(`panel-${each}`).hidden = !chosen;
  }
  if (view.selected >= 0) markLists(view.selected);
  renderEvents();
}

function showStory(number) {
  view.story = number;
  document.querySelectorAll("ol.story").forEach((list, n) => { list.hidden = n !== number; });
  document.querySelectorAll(".violation").forEach((button) => {
    button.removeAttribute("aria-current");
  });
  const main = storyViolation();
  const current = [...document.querySelectorAll(".violation")].find((button) => Number(button.dataset.story) === number && Number(button.dataset.place) === main);
  if (current) current.setAttribute("aria-current", "true");
}

function bindLists() {
  const choose = (event) => {
    const row = event.target.closest("li[data-place]");
    if (row) choosePlace(Number(row.dataset.place));
  };
  storyPanel.addEventListener("click", choose);
  eventsPanel.addEventListener("click", choose);
  eventsPanel.addEventListener("scroll", renderEvents, { passive: true });
  for (const name of TABS) {
    $(`tab-${name}`).onclick = () => openTab(name);
    $(`tab-${name}`).onkeydown = (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.stopPropagation();
      const to = TABS.indexOf(name) + (event.key === "ArrowRight" ? 1 : TABS.length - 1);
      const other = TABS[to % TABS.length];
      openTab(other);
      $(`tab-${other}`).focus();
    };
  }
  for (const button of document.querySelectorAll(".violation")) {
    button.onclick = () => {
      const story = Number(button.dataset.story);
      if (story >= 0 && story !== view.story) {
        showStory(story);
        applyFilters();
        showAll();
      }
      choosePlace(Number(button.dataset.place));
      frame.scrollIntoView({ block: "nearest" });
    };
  }
}

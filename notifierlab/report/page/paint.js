// The timeline as pixels. Only what stands in the visible part of it is drawn.
const FONT = '11.5px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';
const BOLD = `600 ${FONT}`;
const SMALL = FONT.replace("11.5px", "10.5px");
const MONO = '11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const canvas = $("canvas"), context = canvas.getContext("2d");
const paper = { width: 0, height: 0, gutter: 120, boxes: [] };
let colour = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["card", "ink", "muted", "line", "soft", "host", "host-soft", "device", "device-soft", "window",
    "window-soft", "window-ink", "lock", "op", "bad", "bad-soft", "bad-ink", "on-bar", "focus"];
  colour = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  colour.hatch = hatch(colour.bad, 7, .55);
  colour.staleHatch = hatch(colour["on-bar"], 6, .28);
  colour.unmappedHatch = hatch(colour.host, 6, .55);
}

function hatch(ink, size, alpha) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const c = tile.getContext("2d");
  c.strokeStyle = ink; c.globalAlpha = alpha; c.lineWidth = 1.2;
  c.beginPath();
  for (const shift of [-size, 0, size]) { c.moveTo(shift, size); c.lineTo(shift + size, 0); }
  c.stroke();
  return context.createPattern(tile, "repeat");
}

function X(col) { return paper.gutter + (col - view.left) * view.px; }
function plotWidth() { return paper.width - paper.gutter; }

function paint() {
  const ratio = window.devicePixelRatio || 1;
  const c = context;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.fillStyle = colour.card;
  c.fillRect(0, 0, paper.width, paper.height);
  c.textBaseline = "middle";
  const top = $("scroll").scrollTop;
  const shown = paper.boxes.filter((box) => box.y + box.height >= top && box.y <= top + paper.height - AXIS);
  inside(paper.gutter, 0, plotWidth(), paper.height, () => paintGrid(c));
  c.save();
  c.beginPath(); c.rect(0, AXIS, paper.width, paper.height - AXIS); c.clip();
  c.translate(0, AXIS - top);
  inside(paper.gutter, top, plotWidth(), paper.height, () => {
    for (const box of shown) paintSpans(c, box);
    paintConnectors(c, shown);
    paintMarks(c, shown);
  });
  c.restore();
  inside(paper.gutter, 0, plotWidth(), paper.height, () => paintLines(c));
  inside(0, AXIS, paper.width, paper.height - AXIS, () => { c.translate(0, AXIS - top); shown.forEach((box) => paintLabel(c, box)); });
}

function inside(x, y, width, height, draw) {
  context.save();
  context.beginPath(); context.rect(x, y, width, height); context.clip();
  draw();
  context.restore();
}

function visibleColumns() {
  return [Math.max(0, Math.floor(view.left)), Math.min(view.places.length, Math.ceil(view.left + plotWidth() / view.px))];
}

// Step numbers above, and a faint line for each event where there is room.
function paintGrid(c) {
  const [from, to] = visibleColumns();
  c.strokeStyle = colour.line;
  c.beginPath(); c.moveTo(paper.gutter, AXIS - .5); c.lineTo(paper.width, AXIS - .5); c.stroke();
  c.font = MONO; c.textAlign = "center";
  let free = -Infinity;
  for (let n = from; n < to; n += Math.max(1, Math.floor(30 / view.px))) {
    const x = X(n + .5);
    const label = String(E.step[view.places[n]]);
    const half = c.measureText(label).width / 2;
    if (view.px >= 12) {
      c.strokeStyle = colour.soft;
      c.beginPath(); c.moveTo(x, AXIS); c.lineTo(x, paper.height); c.stroke();
    }
    if (x - half < Math.max(free, paper.gutter) || (n && E.step[view.places[n]] === E.step[view.places[n - 1]] && view.px >= 12)) continue;
    c.fillStyle = colour.muted;
    c.fillText(label, x, AXIS - 12);
    free = x + half + 8;
  }
}

// Where a span stands in its lane, and how it looks; nothing for what this lane does not show.
function look(box, span) {
  const { y, height, line } = box;
  switch (span.kind) {
    case "window": return { y, h: height, style: "window" };
    case "heard": return { y, h: height, style: "window" };
    case "unheard": return { y, h: height, style: "unheard" };
    case "announced": return { y, h: height, style: "window", quiet: true };
    case "unannounced": return { y, h: height, style: "unheard", quiet: true };
    case "task": return { y: y + line - 1, h: 2, style: "life" };
    case "registered": return { y: y + line - 1.5, h: 3, style: "registered" };
    case "op": return { y: y + line - 8 + Math.min(span.row, 3) * 1.5, h: 16 - Math.min(span.row, 3) * 3, style: "op" };
    case "lock": return lookOfLock(box, span);
    case "entry": case "cached":
      return { y: y + line + 12 + rowIn(box, span) * ENTRY_ROW, h: ENTRY_ROW - 2, style: span.kind };
    case "reached":
      return { y: y + REACH_TOP + rowIn(box, span) * REACH_ROW, h: REACH_ROW - 2, style: "reached" };
    default: return { y: y + HOST_TOP, h: HOST_HIGH, style: span.kind };
  }
}

function rowIn(box, span) { return box.rows.get(span.row) ?? 0; }

function lookOfLock(box, span) {
  return { y: box.y + box.line + 13 + rowIn(box, span) * box.lockRow, h: box.lockRow - 2, style: "lock" };
}

const BEHIND = ["window", "heard", "unheard", "announced", "unannounced"];

function paintSpans(c, box) {
  const right = paper.width;
  const drawn = new Map();   // by kind and row: the last pixel that has something
  for (const behind of [true, false]) {
    for (const span of spansOf[box.lane]) {
      if (BEHIND.includes(span.kind) !== behind || !isShown(span)) continue;
      const x0 = X(column(span.begin));
      if (x0 > right) break;
      const x1 = X(columnEnd(span.end));
      if (x1 <= paper.gutter) continue;
      const key = `${span.kind}${span.row}`;
      if (x1 - x0 < 1 && drawn.get(key) === Math.floor(x1)) continue;
      drawn.set(key, Math.floor(x1));
      paintSpan(c, box, span, x0, Math.max(x1, x0 + 1));
    }
  }
}

function paintSpan(c, box, span, x0, x1) {
  const { y, h, style, quiet } = look(box, span);
  const w = x1 - x0;
  switch (style) {
    case "window":
      fill(c, x0, y, w, h, colour["window-soft"]);
      if (w > 5) {
        fill(c, x0, y, 2, h, colour.window);
        if (span.end !== NEVER) fill(c, x1 - 1, y, 1, h, colour.window);
      }
      return quiet ? undefined : label(c, span.label, x0 + 7, y + 8, w - 10, colour["window-ink"]);
    case "unheard":
      c.globalAlpha = .5; fill(c, x0, y, w, h, colour["bad-soft"]); c.globalAlpha = 1;
      if (!quiet) { c.globalAlpha = .8; fill(c, x0, y, w, h, colour.hatch); c.globalAlpha = 1; }
      c.setLineDash([4, 3]); c.strokeStyle = colour.bad; c.strokeRect(x0 + .5, y + .5, w - 1, h - 1); c.setLineDash([]);
      return quiet ? undefined : badge(c, span.label, x0 + 5, y + 9, w - 8);
    case "life": return fill(c, x0, y, w, h, colour.line);
    case "registered": return fill(c, x0, y, w, h, colour.device);
    case "op": return rounded(c, x0, y, w, h, 4, colour.op);
    case "lock": return paintLock(c, span, x0, y, w, h);
    case "held": rounded(c, x0, y, w, h, 2, colour["host-soft"]); return label(c, span.label, x0 + 5, y + h / 2 + .5, w - 8, colour.ink);
    case "mapped": rounded(c, x0, y, w, h, 2, colour.host); return label(c, span.label, x0 + 5, y + h / 2 + .5, w - 8, colour["on-bar"], BOLD);
    case "unmapped":
      fill(c, x0, y, w, h, colour.card); fill(c, x0, y, w, h, colour.unmappedHatch); outline(c, x0, y, w, h, colour.host, []);
      return badge(c, span.label, x0 + 4, y + h / 2 + .5, w - 6, colour.ink);
    case "free":
      fill(c, x0, y, w, h, colour.card); outline(c, x0, y, w, h, colour.muted, [3, 3]);
      return label(c, span.label, x0 + 6, y + h / 2 + .5, w - 8, colour.ink, BOLD);
    default: return paintReach(c, span, x0, x1, y, h, style);
  }
}

function paintLock(c, span, x0, y, w, h) {
  if (h < 9) return rounded(c, x0, y, w, h, 1, colour.lock);
  rounded(c, x0, y, w, h, 2, colour.op);
  fill(c, x0, y, 2, h, colour.lock);
  label(c, span.label, x0 + 6, y + h / 2 + .5, w - 8, colour.muted, SMALL);
}

// What a device believes. From the free of the page on, it is wrong.
function paintReach(c, span, x0, x1, y, h, style) {
  const stale = span.stale === NEVER ? x1 : Math.min(Math.max(X(column(span.stale)), x0), x1);
  if (style === "cached") {
    rounded(c, x0, y, stale - x0, h, 2, colour["device-soft"]);
    outline(c, x0, y, stale - x0, h, colour.device, []);
  } else {
    rounded(c, x0, y, stale - x0, h, 2, colour.device);
  }
  const text = style === "reached" ? `${span.label} maps it` : span.label;
  label(c, text, x0 + 5, y + h / 2 + .5, stale - x0 - 8, style === "cached" ? colour.ink : colour["on-bar"], style === "reached" ? BOLD : SMALL);
  if (stale >= x1) return;
  const w = x1 - stale;
  fill(c, stale, y, w, h, colour.bad);
  fill(c, stale, y, w, h, colour.staleHatch);
  label(c, style === "reached" ? "still maps it" : "stale", stale + 5, y + h / 2 + .5, w - 6, colour["on-bar"], BOLD);
}

function fill(c, x, y, w, h, style) { c.fillStyle = style; c.fillRect(x, y, w, h); }
// A bar ends a little before the next one may begin.
function rounded(c, x, y, w, h, radius, style) {
  if (w <= 0) return;
  if (w > 4) w -= 1;
  c.fillStyle = style;
  c.beginPath(); c.roundRect(x, y, w, h, Math.min(radius, w / 2)); c.fill();
}
function outline(c, x, y, w, h, style, dash) {
  if (w <= 1) return;
  c.setLineDash(dash); c.strokeStyle = style; c.lineWidth = 1; c.strokeRect(x + .5, y + .5, w - 1, h - 1); c.setLineDash([]);
}

// Text, shortened to the room there is; it stays readable while its bar is scrolled under the labels.
function label(c, text, x, y, room, ink, font = FONT) {
  if (x < paper.gutter + 5) { room -= paper.gutter + 5 - x; x = paper.gutter + 5; }
  const words = fitted(c, text, room, font);
  if (!words) return 0;
  c.font = font; c.textAlign = "left"; c.fillStyle = ink;
  c.fillText(words, x, y);
  return c.measureText(words).width;
}
function badge(c, text, x, y, room, ink = colour["bad-ink"]) {
  const from = Math.max(x, paper.gutter + 5);
  const words = fitted(c, text, room - (from - x), BOLD);
  if (!words) return;
  c.font = BOLD;
  rounded(c, from - 2, y - 7, c.measureText(words).width + 5, 14, 3, colour.card);
  label(c, words, from, y, Infinity, ink, BOLD);
}
const SHORT = 5;   // letters: less says nothing
const widths = new Map();
function fitted(c, text, room, font) {
  if (room < 22) return "";
  c.font = font;
  const key = font + text;
  if (!widths.has(key)) widths.set(key, c.measureText(text).width);
  const width = widths.get(key);
  if (width <= room) return text;
  let length = Math.floor(text.length * room / width);
  while (length >= SHORT && c.measureText(`${text.slice(0, length)}…`).width > room) length -= 1;
  return length < SHORT ? "" : `${text.slice(0, length).trimEnd()}…`;
}

// From a task to the MMU or the page that it deals with.
function paintConnectors(c, shown) {
  if (view.px < 12) return;
  const boxOf = new Map(paper.boxes.map((box) => [box.lane, box]));
  const [from, to] = visibleColumns();
  for (let n = from; n < to; n++) {
    const place = view.places[n];
    const task = boxOf.get(E.task[place]);
    const x = X(n + .5);
    const ends = [];
    if (E.mmu[place] >= 0 && boxOf.has(E.mmu[place])) ends.push(boxOf.get(E.mmu[place]));
    else if (pageEvent(place)) {
      for (const pfn of pagesOf(place)) if (boxOf.has(pageLane.get(pfn))) ends.push(boxOf.get(pageLane.get(pfn)));
    }
    for (const box of ends) {
      c.strokeStyle = inkOf(place); c.globalAlpha = .4; c.setLineDash([2, 2]);
      c.beginPath(); c.moveTo(x, task.y + task.line); c.lineTo(x, box.y + box.line); c.stroke();
      c.setLineDash([]); c.globalAlpha = 1;
      if (box.kind === "mmu") { c.fillStyle = inkOf(place); c.beginPath(); c.arc(x, box.y + box.line, 3, 0, 7); c.fill(); }
    }
  }
}
const PAGE_EVENTS = ["page_allocated", "page_freed", "pte_set", "pte_cleared"];
function pageEvent(place) { return PAGE_EVENTS.includes(kindOf(place)[KIND_NAME]); }

function inkOf(place) {
  const family = kindOf(place)[KIND_FAMILY];
  return family === "host" ? colour.host : family === "shadow" ? colour.device : family === "notifier" ? colour["window-ink"] : colour.lock;
}

// One mark for each event, its shape by its family; a tick where there is no room.
function paintMarks(c, shown) {
  const lineOf = new Map(shown.map((box) => [box.lane, box.y + box.line]));
  const [from, to] = visibleColumns();
  const r = view.px >= 14 ? 5 : view.px >= 8 ? 3.6 : view.px >= 5 ? 2.4 : 0;
  const last = new Map();
  for (let n = from; n < to; n++) {
    const place = view.places[n];
    const y = lineOf.get(E.task[place]);
    if (y === undefined) continue;
    const x = X(n + .5);
    if (!r) {
      const pixel = Math.round(x);
      if (last.get(y) === pixel) continue;
      last.set(y, pixel);
      fill(c, pixel, y - 5, 1, 10, inkOf(place));
      continue;
    }
    paintMark(c, place, x, y, r);
  }
}

function paintMark(c, place, x, y, r) {
  const [name, family] = kindOf(place);
  c.beginPath();
  if (name === "page_freed") { c.arc(x, y, r + .5, 0, 7); c.fillStyle = colour.card; c.fill(); c.lineWidth = 2; c.strokeStyle = colour.ink; c.stroke(); c.lineWidth = 1; }
  else {
    if (family === "host") c.rect(x - r + .6, y - r + .6, 2 * r - 1.2, 2 * r - 1.2);
    else if (family === "shadow") { c.moveTo(x, y - r); c.lineTo(x + r, y); c.lineTo(x, y + r); c.lineTo(x - r, y); c.closePath(); }
    else if (family === "notifier") { c.moveTo(x, y - r); c.lineTo(x + r, y + r * .8); c.lineTo(x - r, y + r * .8); c.closePath(); }
    else c.arc(x, y, r * .6, 0, 7);
    c.fillStyle = inkOf(place); c.fill();
    c.strokeStyle = colour.card; c.stroke();
  }
  if (brokenAt.has(place)) { c.beginPath(); c.arc(x, y, r + 4, 0, 7); c.lineWidth = 2; c.strokeStyle = colour.bad; c.stroke(); c.lineWidth = 1; }
}

// Violations and the chosen event, across all lanes.
function paintLines(c) {
  const main = storyViolation();
  for (const place of brokenPlaces) {
    if (place === main) continue;
    const x = X(column(place));
    if (x < paper.gutter - 5 || x > paper.width + 5) continue;
    c.strokeStyle = colour.bad; c.globalAlpha = .55; c.setLineDash([3, 4]);
    c.beginPath(); c.moveTo(x, 18); c.lineTo(x, paper.height); c.stroke();
    c.setLineDash([]); c.globalAlpha = 1; c.fillStyle = colour.bad;
    c.beginPath(); c.moveTo(x - 4, 12); c.lineTo(x + 4, 12); c.lineTo(x, 19); c.fill();
  }
  if (view.selected >= 0) {
    const x = X(column(view.selected));
    c.strokeStyle = colour.focus; c.lineWidth = 1.5;
    c.beginPath(); c.moveTo(x, AXIS - 22); c.lineTo(x, paper.height); c.stroke(); c.lineWidth = 1;
    c.font = `600 ${MONO}`;
    const text = String(E.step[view.selected]), half = c.measureText(text).width / 2 + 5;
    const at = Math.min(Math.max(x, paper.gutter + half), paper.width - half);
    rounded(c, at - half, AXIS - 21, 2 * half, 17, 4, colour.focus);
    c.fillStyle = colour.card; c.textAlign = "center"; c.fillText(text, at, AXIS - 12);
  }
  if (main !== NEVER) paintFlag(c, main);
}

function paintFlag(c, place) {
  const x = X(column(place));
  if (x < paper.gutter - 400 || x > paper.width + 400) return;
  c.strokeStyle = colour.bad; c.lineWidth = 2;
  c.beginPath(); c.moveTo(x, 10); c.lineTo(x, paper.height); c.stroke(); c.lineWidth = 1;
  c.font = BOLD;
  const text = ruleAt(place);
  const width = c.measureText(text).width + 14;
  const left = Math.min(Math.max(x - width + 1, paper.gutter), paper.width - width);
  rounded(c, left, 2, width, 18, 4, colour.bad);
  c.fillStyle = colour["on-bar"]; c.textAlign = "left"; c.fillText(text, left + 7, 11.5);
}

function ruleAt(place) {
  const rules = brokenAt.get(place).map((each) => each.rule);
  return rules.find((rule) => rule === storyRule()) || rules[0];
}

function paintLabel(c, box) {
  fill(c, 0, box.y - 7, paper.gutter, box.height + 12, colour.card);
  c.strokeStyle = colour.soft;
  c.beginPath(); c.moveTo(0, box.y + box.height + 2.5); c.lineTo(paper.width, box.y + box.height + 2.5); c.stroke();
  c.strokeStyle = colour.line;
  c.beginPath(); c.moveTo(paper.gutter - .5, box.y - 7); c.lineTo(paper.gutter - .5, box.y + box.height + 7); c.stroke();
  c.textAlign = "left";
  if (box.heading) { c.font = SMALL; c.fillStyle = colour.muted; c.fillText(GROUP_NAMES[box.kind], 12, box.y + 2); }
  c.font = BOLD; c.fillStyle = colour.ink;
  c.fillText(fitted(c, laneTitle(box.lane), paper.gutter - 20, BOLD), 12, box.y + box.line);
  if (box.kind !== "page") return;
  c.font = SMALL; c.textAlign = "right"; c.fillStyle = colour.muted;
  c.fillText("host", paper.gutter - 8, box.y + box.line);
  const named = new Map();
  for (const span of spansOf[box.lane]) if (span.kind === "reached" && isShown(span)) named.set(rowIn(box, span), span.label);
  for (const [row, name] of named) c.fillText(name, paper.gutter - 8, box.y + REACH_TOP + row * REACH_ROW + REACH_ROW / 2 - 1);
}

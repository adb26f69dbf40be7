// How high each lane is, and what stands where in it.
const AXIS = 46, GUTTER_MAX = 168;
const LOCK_ROW = 6, LOCK_ROW_NAMED = 14, LOCK_ROWS_NAMED = 4, LOCK_ROWS_MAX = 9;
const ENTRY_ROW = 13, ENTRY_ROWS_MAX = 6, REACH_ROW = 21, REACH_ROWS_MAX = 6;
const HOST_TOP = 14, HOST_HIGH = 20, REACH_TOP = HOST_TOP + HOST_HIGH + 4;   // in the lane of a page
const LINE = 26;   // from the top of a task's lane to the line on which its events stand

// The rows of a lane that have anything, and which of them each is when empty ones are left out.
function rowsOf(lane, kinds, most) {
  const used = new Set();
  for (const span of spansOf[lane]) if (kinds.includes(span.kind) && isShown(span)) used.add(span.row);
  return new Map([...used].sort((a, b) => a - b).map((row, n) => [row, Math.min(n, most - 1)]));
}
function count(rows, most) { return Math.min(rows.size, most); }

// Whether anything visible happened while the span lasted; and of translations, whether they
// lead to the page that was asked for.
function isShown(span) {
  if (view.page >= 0 && span.page >= 0 && span.page !== view.page) return false;
  return columnEnd(span.end) > column(span.begin);
}

// A lane's place: its top is `y`, counted from the first lane.
function layout() {
  const boxes = [];
  let y = 6;
  let kind = "";
  for (const lane of view.lanes) {
    if (kind && laneKind[lane] !== kind) y += 14;
    const heading = laneKind[lane] !== kind;
    kind = laneKind[lane];
    const box = { lane, kind, y, heading, height: 0, line: 0, lockRow: 0, rows: new Map() };
    if (kind === "task") {
      box.rows = rowsOf(lane, ["lock"], LOCK_ROWS_MAX);
      const locks = count(box.rows, LOCK_ROWS_MAX);
      // Few locks have their names in them.
      box.lockRow = locks <= LOCK_ROWS_NAMED ? LOCK_ROW_NAMED : LOCK_ROW;
      box.line = LINE;
      box.height = LINE + 15 + locks * box.lockRow;
    } else if (kind === "mmu") {
      box.rows = rowsOf(lane, ["entry", "cached"], ENTRY_ROWS_MAX);
      box.line = LINE;
      box.height = LINE + 14 + count(box.rows, ENTRY_ROWS_MAX) * ENTRY_ROW + 4;
    } else {
      box.rows = rowsOf(lane, ["reached"], REACH_ROWS_MAX);
      box.line = HOST_TOP + HOST_HIGH / 2;
      box.height = REACH_TOP + count(box.rows, REACH_ROWS_MAX) * REACH_ROW + 4;
    }
    boxes.push(box);
    y += box.height + 5;
  }
  return { boxes, height: y + 4 };
}

const GROUP_NAMES = { task: "Tasks", mmu: "Secondary MMUs", page: "Pages" };
function laneTitle(lane) { return laneKind[lane] === "page" ? `page ${laneName[lane]}` : laneName[lane]; }

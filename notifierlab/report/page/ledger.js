// The ledger: a table that is sorted by any column, of which only the visible rows are made.
const LEDGER_HEIGHT = 29, LEDGER_PRINTED_MAX = 1000;
const ledger = { rows: raw.ledger.rows, by: -1, down: false, printing: false, box: $("ledger"), body: null };
const WORDY = ["mm", "va", "mmu", "verdict"];
const TITLES = {
  pfn: "page frame", gen: "which life of the frame", va: "address", mapped: "step at which the MMU first mapped it",
  unmapped: "step at which its last pte went", start: "step at which start returned", end: "step at which end returned",
  freed: "step at which it was freed",
};

function bindLedger() {
  if (!ledger.box) return;
  const head = element("tr", "");
  raw.ledger.head.forEach((name, n) => {
    const button = element("button", "", name);
    button.type = "button";
    button.title = TITLES[name] || name;
    button.onclick = () => sortLedger(n);
    const cell = element("th", WORDY.includes(name) ? "words" : "", button);
    cell.scope = "col";
    head.append(cell);
  });
  ledger.body = element("tbody", "");
  const table = element("table", "", element("thead", "", head), ledger.body);
  table.setAttribute("aria-rowcount", ledger.rows.length + 1);
  ledger.box.append(table);
  ledger.box.addEventListener("scroll", renderLedger, { passive: true });
  ledger.body.onclick = (event) => {
    const row = event.target.closest("tr[data-freed]");
    if (row) chooseFreed(Number(row.dataset.pfn), Number(row.dataset.freed));
  };
  renderLedger();
}

function sortLedger(column) {
  ledger.down = ledger.by === column ? !ledger.down : false;
  ledger.by = column;
  const sign = ledger.down ? -1 : 1;
  ledger.rows = [...raw.ledger.rows].sort((a, b) => sign * compare(a[column], b[column]));
  ledger.box.querySelectorAll("th").forEach((cell, n) => {
    if (n === column) cell.setAttribute("aria-sort", ledger.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  ledger.box.scrollTop = 0;
  renderLedger();
}

// What did not happen comes last; addresses are compared as numbers.
function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "string" && a.startsWith("0x") && b.startsWith("0x")) return Number(a) - Number(b);
  return a < b ? -1 : a > b ? 1 : 0;
}

// A scroll is told with the next frame: while the page is printed, all rows stay.
function printLedger(begins) {
  ledger.printing = begins;
  renderLedger();
}

function renderLedger() {
  if (!ledger.body) return;
  const everything = ledger.printing;
  const total = ledger.rows.length;
  const from = everything ? 0 : Math.max(0, Math.floor(ledger.box.scrollTop / LEDGER_HEIGHT) - 6);
  const to = everything ? Math.min(total, LEDGER_PRINTED_MAX) : Math.min(total, from + Math.ceil(ledger.box.clientHeight / LEDGER_HEIGHT) + 12);
  const rows = [pad(from)];
  for (let n = from; n < to; n++) rows.push(ledgerRow(ledger.rows[n], n));
  rows.push(everything ? pad(0) : pad(total - to));
  ledger.body.replaceChildren(...rows);
}

function pad(rows) {
  const cell = element("td", "");
  cell.colSpan = raw.ledger.head.length;
  cell.style.height = `${rows * LEDGER_HEIGHT}px`;
  const row = element("tr", "pad", cell);
  row.setAttribute("aria-hidden", "true");
  return row;
}

function ledgerRow(values, n) {
  const row = element("tr", values.at(-1) === raw.ledger.bad ? "bad" : "");
  values.forEach((value, column) => {
    const name = raw.ledger.head[column];
    row.append(element("td", WORDY.includes(name) ? "words" : "", value === null ? "–" : String(value)));
  });
  row.setAttribute("aria-rowindex", n + 2);
  row.dataset.pfn = values[raw.ledger.head.indexOf("pfn")];
  row.dataset.freed = values[raw.ledger.head.indexOf("freed")];
  return row;
}

// From a row to the moment at which the page was freed.
function chooseFreed(pfn, step) {
  for (let place = 0; place < N; place++) {
    if (E.step[place] === step && kindOf(place)[KIND_NAME] === "page_freed" && pagesOf(place).includes(pfn)) {
      choosePlace(place);
      frame.scrollIntoView({ block: "center" });
      return;
    }
  }
}

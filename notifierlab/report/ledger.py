"""The ledger as a table: each freed page and each registered MMU, and how it was told."""

from collections.abc import Sequence

from notifierlab.checker import LedgerRow
from notifierlab.report.table import table


def ledger_table(rows: Sequence[LedgerRow], *, width: int = 100) -> str:
    """One line a row: the page, the MMU, the steps at which things happened, the verdict."""
    if not rows:
        return "No page was freed while a secondary MMU was registered.\n"
    names = LedgerRow.__struct_fields__
    cells = [[_cell(getattr(row, name)) for name in names] for row in rows]
    return table(cells, head=[name.replace("_", " ") for name in names], width=width)


def _cell(value: object) -> str:
    if value is None or value == -1:
        return "-"
    return str(value)

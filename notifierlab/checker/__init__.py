"""What must hold: rules as a table, one room a family; it reads events and nothing else."""

from notifierlab.checker.core import (
    Checker as Checker,
    explain as explain,
    RULES as RULES,
)
from notifierlab.checker.exercised import (
    not_exercised as not_exercised,
    Seen as Seen,
)
from notifierlab.checker.ledger import LedgerRow as LedgerRow
from notifierlab.checker.locking import LockEdge as LockEdge
from notifierlab.checker.rules import Rule as Rule

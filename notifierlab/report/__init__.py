"""How a run is shown: the story in lanes, the ledger as a table."""

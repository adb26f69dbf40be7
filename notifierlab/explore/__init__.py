"""Which orders to try: one run, strategies, the search, and what to do with what it finds."""

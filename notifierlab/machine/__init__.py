"""The machine that runs tasks: steps, choices, locks, shared state. It knows nothing of pages."""

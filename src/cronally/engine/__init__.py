"""The engine: what fires. Scheduler and dispatcher never call each other: they meet in the ledger."""

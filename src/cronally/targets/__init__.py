"""Targets: the only place that knows what is outside. A target knows nothing of accounts, the store or the schedule."""

"""Alembic's migrations of the database, run by `cronally.store.migrate`."""

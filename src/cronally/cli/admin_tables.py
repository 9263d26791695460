"""What the operator sees of accounts and their keys: tables, by Rich.

Invariant: as in `layout`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cronally.cli.layout import Column, first_that_fits, instant, make_console, print_pairs, print_table
from cronally.cli.output import say_more
from cronally.contract.attribute import declared
from cronally.contract.limits import Limits
from cronally.contract.operator import OverseenAccount, OverseenEntry, OverseenKey


def print_accounts(accounts: Sequence[OverseenAccount], cursor: str | None) -> None:
    """Print a table of accounts, and how to get the next page."""
    console = make_console()
    if not accounts:
        console.print("There are no such accounts.")
        return
    ids = Column("Id", [one.account_id for one in accounts])
    email = Column("Email", [one.email for one in accounts], least=16)
    state = Column("State", [one.state for one in accounts])
    jobs = Column("Cron jobs", [one.cronjobs for one in accounts], right=True)
    created = Column("Created (UTC)", [instant(one.created_at) for one in accounts])
    print_table(console, first_that_fits(console, ([ids, email, state, jobs, created], [email, state, jobs])))
    say_more(cursor)


def print_account(account: OverseenAccount) -> None:
    """Print an account and how it stands."""
    print_pairs(
        [
            ("Account", account.account_id),
            ("Email", account.email or "erased"),
            ("State", account.state),
            ("Cron jobs", account.cronjobs),
            ("Created", instant(account.created_at)),
            ("Suspended", instant(account.suspended_at, seconds=True)),
            ("Reason", account.reason),
            ("Deleted", instant(account.deleted_at, seconds=True)),
            ("Purged at", instant(account.purge_at, seconds=True)),
        ]
    )


def print_limits(account: OverseenAccount) -> None:
    """Print how much an account may have and ask for, and by whose limit."""
    names = [*declared(Limits)]
    values = [getattr(account.limits, name) for name in names]
    columns = [
        Column("Limit", names),
        Column("Value", [f"{value:,}" for value in values], right=True),
        Column("Set for", ["the account" if name in account.own_limits else "all" for name in names]),
        Column("Meaning", [declared(Limits)[name].attribute.description for name in names], least=20),
    ]
    print_table(make_console(), columns)


def print_keys(keys: Sequence[OverseenKey]) -> None:
    """Print a table of API keys."""
    console = make_console()
    if not keys:
        console.print("The account has no API keys; --new makes one.")
        return
    columns = [
        Column("API key", [one.api_key for one in keys]),
        Column("Created (UTC)", [instant(one.created_at) for one in keys]),
        Column("Revoked (UTC)", [instant(one.revoked_at) for one in keys]),
    ]
    print_table(console, columns)


def print_key(key: OverseenKey) -> None:
    """Print an API key that was just made, with its secret."""
    print_pairs([("API key", key.api_key), ("API secret", key.api_secret)])


def print_audit(entries: Sequence[OverseenEntry], cursor: str | None) -> None:
    """Print a table of what was done to an account, and how to get the next page."""
    console = make_console()
    if not entries:
        console.print("Nothing is in the audit log.")
        return
    columns = [
        Column("No", [one.number for one in entries], right=True),
        Column("When (UTC)", [instant(one.at, seconds=True) for one in entries]),
        Column("Who", [one.who for one in entries]),
        Column("What", [one.action for one in entries]),
        Column("To", [one.subject_id for one in entries], least=12),
        Column("Changes", ["; ".join(one.changes) or None for one in entries], least=20),
    ]
    print_table(console, columns)
    say_more(cursor)

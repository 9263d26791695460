"""What people see of operations, of what one would be for, of freezes and of connections: tables, by Rich.

Invariant: as in `layout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronally.cli.layout import (
    Column,
    instant,
    make_console,
    print_page,
    print_pairs,
    print_table,
    stacked,
)
from cronally.cli.watching import problem_of

if TYPE_CHECKING:
    from cronally.client import Connection, Freeze, Operation, Page, Selection


def print_operations(page: Page[Operation], *, wide: bool = False) -> None:
    """Print a table of operations, and how to get the next page."""
    ids = Column("Id", [each.operation_id for each in page])
    action = Column("Action", [each.action for each in page])
    state = Column("State", [each.state for each in page])
    done = Column("Done", [_done(each) for each in page], right=True)
    failed = Column("Failed", [each.failed for each in page], right=True)
    begun = Column("Asked for (UTC)", [instant(each.created_at, seconds=True) for each in page])
    both = Column("Action, state", [stacked(each.action, each.state) for each in page])
    layouts = ([ids, action, state, done, failed, begun], [ids, action, state, done], [ids, both])
    print_page(page, layouts, "There are no operations.", wide=wide)


def print_operation(operation: Operation) -> None:
    """Print an operation, with what went wrong."""
    sent = {**(operation.filters or {}), **(operation.parameters or {})}
    problems = [("Problem", problem_of(each)) for each in operation.problems]
    print_pairs(
        [
            ("Operation", operation.operation_id),
            ("Action", operation.action),
            ("Sent", ", ".join(f"{name}={value}" for name, value in sent.items()) or None),
            ("State", operation.state),
            ("Done", _done(operation)),
            ("Failed", operation.failed or None),
            ("Asked for", instant(operation.created_at, seconds=True)),
            ("Ended", instant(operation.finished_at, seconds=True)),
            *problems,
        ]
    )


def print_selection(selection: Selection) -> None:
    """Print which cron jobs something would be done to."""
    console = make_console()
    if not selection.total:
        console.print("No cron job is like that.")
        return
    shown = selection.cronjobs
    ids = Column("Id", [each.cronjob_id for each in shown])
    names = Column("Name", [each.name for each in shown], 16)
    print_table(console, [ids, names, Column("State", [each.state for each in shown])])
    more = f", of which these are the oldest {len(shown)}" if selection.total > len(shown) else ""
    jobs = "cron job" if selection.total == 1 else "cron jobs"
    console.print(f"{selection.total:,} {jobs}{more}. Nothing was changed.")


def _done(operation: Operation) -> str:
    return f"{operation.done:,}" + ("" if operation.total is None else f" of {operation.total:,}")


def print_freezes(page: Page[Freeze], *, wide: bool = False) -> None:
    """Print a table of freezes."""
    ids = Column("Id", [each.freeze_id for each in page])
    what = Column("What", [_frozen(each) for each in page], 16)
    rule = Column("Rule", [each.rule for each in page])
    ends = Column("In force (UTC)", [_in_force(each) for each in page])
    jobs = Column("Cron jobs", [each.cronjobs for each in page], right=True)
    note = Column("Note", [each.note for each in page], 16)
    both = Column("What, until", [stacked(_frozen(each), _in_force(each)) for each in page])
    layouts = ([ids, what, rule, ends, jobs, note], [ids, what, ends], [ids, both])
    print_page(page, layouts, "There are no freezes.", wide=wide)


def print_freeze(freeze: Freeze) -> None:
    """Print a freeze."""
    print_pairs(
        [
            ("Freeze", freeze.freeze_id),
            ("What", _frozen(freeze)),
            ("Rule", freeze.rule),
            ("Note", freeze.note),
            ("In force", _in_force(freeze)),
            ("Cron jobs", freeze.cronjobs),
        ]
    )


def _frozen(freeze: Freeze) -> str:
    """What stands still."""
    if freeze.tag is not None:
        return f"tag {freeze.tag}"
    return "all" if freeze.host is None else f"host {freeze.host}"


def _in_force(freeze: Freeze) -> str:
    until = instant(freeze.until, seconds=True)
    if freeze.lifted_at is not None:
        return f"lifted {instant(freeze.lifted_at, seconds=True)}"
    return f"until {until}" if freeze.in_force else f"ended {until}"


def print_connections(page: Page[Connection], *, wide: bool = False) -> None:
    """Print a table of connections, and how to get the next page."""
    names = Column("Name", [each.name for each in page], 24)
    kinds = Column("Kind", [each.kind for each in page])
    where = Column("Credentials", [_credentials(each) for each in page], 24)
    uses = Column("Cron jobs", [each.used_by for each in page], right=True)
    health = Column("Health", [each.health for each in page])
    last = Column("Last used (UTC)", [instant(each.last_used_at, seconds=True) for each in page])
    layouts = (
        [names, kinds, where, uses, health, last],
        [names, kinds, where, uses, health],
        [names, kinds, uses, health],
    )
    none = "There are no connections; `cronally connection add --help` says how to create one."
    print_page(page, layouts, none, wide=wide)


def print_connection(connection: Connection) -> None:
    """Print a connection, without its secrets."""
    print_pairs(
        [
            ("Connection", connection.connection_id),
            ("Name", connection.name),
            ("Kind", connection.kind),
            ("AWS access key", connection.aws_access_key_id),
            ("AWS role", connection.aws_role_arn),
            ("External id", connection.aws_external_id),
            ("Session token", "yes, not shown" if connection.has_session_token else None),
            ("Region", connection.aws_region),
            ("Base URL", connection.base_url),
            ("Authentication", connection.authentication),
            ("User", connection.username),
            ("Token URL", connection.token_url),
            ("Client", connection.client_id),
            ("Scope", connection.scope),
            ("Audience", connection.audience),
            ("Client authentication", connection.client_authentication),
            ("Headers", ", ".join(connection.header_names or ()) or None),
            ("Signing secret", "yes, not shown" if connection.signs else None),
            ("Signed as", connection.signature_format),
            ("Key ids", ", ".join(connection.signing_key_ids or ()) or None),
            ("Key page", connection.keys_path),
            ("Client certificate", connection.client_certificate_subject),
            ("... expires (UTC)", instant(connection.client_certificate_not_after, seconds=True)),
            ("... SHA-256", connection.client_certificate_fingerprint),
            ("Trusted authorities", "; ".join(connection.ca_subjects or ()) or None),
            ("Request timeout", connection.timeout),
            ("Sent at once", connection.max_in_flight),
            ("Sent a second", connection.max_per_second),
            ("Former secrets until", instant(connection.previous_until, seconds=True)),
            ("Cron jobs", connection.used_by),
            ("Health", connection.health),
            ("Refused since", instant(connection.unhealthy_since, seconds=True)),
            ("Refused with", connection.unhealthy_detail),
            ("Tried again from", instant(connection.probe_at, seconds=True)),
            ("Last used (UTC)", instant(connection.last_used_at, seconds=True)),
            ("Version", connection.version),
            ("Created", instant(connection.created_at, seconds=True)),
            ("Changed", instant(connection.updated_at, seconds=True)),
        ]
    )


def _credentials(connection: Connection) -> str | None:
    """What it lets in, or where."""
    return connection.aws_role_arn or connection.aws_access_key_id or connection.base_url

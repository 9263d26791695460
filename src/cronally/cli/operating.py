"""The operator's commands: `serve`, `migrate` and `rekey`. All settings come from CRONALLY_* variables.

Invariant: nothing of the server is imported before one of these commands runs, so the CLI works without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any

import typer

from cronally.cli.failure import Failure
from cronally.cli.output import print_lines
from cronally.contract.doctor import Diagnosis
from cronally.contract.forecasts import Forecast
from cronally.role import Role


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; CRONALLY_HOST otherwise.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on; CRONALLY_PORT otherwise.", show_default=False
        ),
    ] = None,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            help="Run only this role; may be repeated. Without it, all of them.", show_default=False
        ),
    ] = None,
) -> None:
    """Run the server."""
    roles = tuple(each.value for each in role) if role else None
    raise typer.Exit(_server().serve(host=host, port=port, roles=roles))


def migrate() -> None:
    """Bring the database to this version's tables."""
    _server().migrate()
    print_lines("The database has this version's tables.")


def rekey() -> None:
    """Seal every secret again with the first sealing key.

    On PostgreSQL servers may run meanwhile; on SQLite stop the server first.
    """
    print_lines(f"Sealed {_server().rekey()} secrets with the first sealing key; the rest already were.")


def forecast_of_all(hours: int) -> Forecast:
    """The forecast of all accounts."""
    _server()
    from cronally.server.forecasting import forecast

    return forecast(hours)


def carry_out(command: str, **parameters: Any) -> dict[str, Any]:
    """The envelope of the answer to an operator's command on accounts."""
    _server()
    from cronally.server.admin import run

    return run(command, **parameters)


def diagnoses(ntp: str) -> Iterator[Diagnosis]:
    """What there is to be said of each part that a server stands on."""
    _server()
    from cronally.server.doctor import diagnose

    return diagnose(ntp)


def _server() -> ModuleType:
    try:
        from cronally.server import serve as server
    except ModuleNotFoundError as error:
        # A missing module of our own would be a broken installation, which a hint to install would hide.
        if error.name is not None and error.name.partition(".")[0] == "cronally":
            raise
        raise Failure(
            f"the server's parts are not installed ({error.name})",
            "in the folder of Cronally's source: pip install '.[server]'",
        ) from None
    return server

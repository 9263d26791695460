"""The command that says what a cron job's keys must be allowed to do.

Invariant: what it prints on stdout is a policy as IAM takes it, and nothing else; notes go to stderr. It asks the
server for the cron job that it is about, and for nothing where the parameters are given.
"""

from __future__ import annotations

import json as json_
from typing import Annotated, Any, Final

import typer

from cronally.cli import inputs
from cronally.cli.calling import client_of
from cronally.cli.credentials import access
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import ProfileOption, with_options
from cronally.cli.output import complain, print_lines
from cronally.contract.attribute import declared
from cronally.contract.aws import AwsParameters
from cronally.contract.cronjob_requests import NewCronjob
from cronally.contract.permissions import permissions_of, trust_of
from cronally.contract.sns import SnsParameters
from cronally.contract.targets import DEFAULT_TARGET

SAYING: Final = frozenset(
    {
        *(
            "delivery_type",
            "sns_topic",
            "aws_region",
            "aws_service",
            "aws_action",
            "sqs_queue",
            "lambda_function",
        ),
        *(
            "events_bus",
            "stepfunctions_state_machine",
            "kinesis_stream",
            "ecs_cluster",
            "ecs_task_definition",
        ),
    }
)
"""The parameters that a policy is made of."""


@with_options(NewCronjob, without=frozenset(declared(NewCronjob)) - SAYING)
def policy(
    cronjob: Annotated[
        str | None,
        typer.Argument(
            metavar="[CRONJOB]",
            help="The cron job: its id or its name. Without it, the options say what there is to be.",
            show_default=False,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
    role: Annotated[
        str | None,
        typer.Option(
            metavar="CONNECTION",
            help="Print the trust policy of the role of a connection instead: its name or its id.",
            show_default=False,
        ),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="With --role: who assumes it, the user whose keys the connection has or the server's identity.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Print the IAM policy that a cron job's keys need, and no more."""
    if (role is None) != (principal is None):
        raise WrongUsage(
            "--role goes with --principal: the ARN of the user whose keys the connection has, which `cronally"
            " connection verify` tells, or of the server's identity, which its operator knows"
        )
    if role is not None and principal is not None:
        if cronjob is not None or any(value is not None for value in parameters.values()):
            raise WrongUsage("--role is about a connection alone: give no cron job, and no other options")
        external_id = _external_id(role, profile)
        try:
            trust = trust_of(principal, external_id)
        except ValueError as error:
            raise Failure(str(error)) from None
        print_lines(*json_.dumps(trust, indent=2).splitlines())
        return
    given = [name for name, value in parameters.items() if value is not None]
    if cronjob is not None:
        if given:
            raise WrongUsage("give a cron job, or options that say what there is to be, not both")
        values = _shown(cronjob, profile)
    elif given:
        values = inputs.choose(parameters)
    else:
        raise WrongUsage("give a cron job, or options such as --sqs-queue")
    try:
        found = permissions_of(values["delivery_type"] or DEFAULT_TARGET, values)
    except ValueError as error:
        raise Failure(str(error)) from None
    print_lines(*json_.dumps(found.policy, indent=2).splitlines())
    for note in found.notes:
        complain("note", note)


def _external_id(connection: str, profile: str | None) -> str:
    """What Cronally gave out for the role of a connection."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.get_connection(connection)
        found = call.read(client.exchange(call)).aws_external_id
    if found is None:
        raise Failure(
            "the connection has no role", f"cronally connection change {connection} --aws-role-arn ARN"
        )
    return found


def _shown(cronjob: str, profile: str | None) -> dict[str, Any]:
    """What the server shows of a cron job's target."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.cronjob(cronjob_id_of(client, cronjob))
        answer = call.read(client.exchange(call))
    names = {"delivery_type", *declared(SnsParameters), *declared(AwsParameters)}
    return {name: getattr(answer, name, None) for name in names}

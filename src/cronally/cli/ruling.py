"""`cronally rule`: what the account is told of, for which cron jobs, and when.

Invariant: one verb a command, each of them one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, YesOption, with_options
from cronally.cli.output import print_json, print_lines, printable
from cronally.contract.alert_rules import AlertRuleChange, NewAlertRule

if TYPE_CHECKING:
    from cronally.client import AlertRule, Page

_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}
RuleArgument = Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.", show_default=False)]

rule = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
    no_args_is_help=True,
)


@rule.callback()
def rule_() -> None:
    """Choose what you are told of, for which cron jobs, and when.

    A rule is for one cron job, for the cron jobs of a tag, or for all; of several that say something of one thing, the
    most specific one decides.
    """


@rule.command("add", context_settings=dict(_SETTINGS))
@with_options(NewAlertRule, defaults=True)
def add(
    *,
    parameters: dict[str, Any],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="The same key answers with the same rule for 24 hours.", show_default=False
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Make a rule: without --cronjob and --tag for the whole account."""
    from cronally.client import calls

    run(access(profile), calls.create_rule(parameters, idempotency_key), json, _show)


@rule.command("list", context_settings=dict(_SETTINGS))
def list_(wide: WideOption = False, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """List the account's rules."""
    from cronally.client import calls

    def show(page: Page[AlertRule]) -> None:
        from cronally.cli.rule_tables import print_rules

        print_rules(page, wide=wide)

    run(access(profile), calls.list_rules(), json, show)


@rule.command("show", context_settings=dict(_SETTINGS))
def show(rule: RuleArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show a rule."""
    from cronally.client import calls

    run(access(profile), calls.get_rule(rule), json, _show)


@rule.command("change", context_settings=dict(_SETTINGS))
@with_options(AlertRuleChange)
def change(
    rule: RuleArgument,
    *,
    parameters: dict[str, Any],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change what a rule says; what no option names stays as it is."""
    from cronally.client import calls

    if all(value is None for value in parameters.values()):
        raise WrongUsage("nothing to change: give at least one option, such as --on-late or --quiet-hours")
    run(access(profile), calls.update_rule(rule, parameters), json, _show)


@rule.command("remove", context_settings=dict(_SETTINGS))
def remove(
    rule: RuleArgument, yes: YesOption = False, profile: ProfileOption = None, json: JsonOption = False
) -> None:
    """Delete a rule: what stands by it is told no more."""
    from cronally.client import calls

    may_ask(yes)
    with client_of(access(profile)) as client:
        if not yes:
            confirm(f"Delete the rule {rule}?")
        envelope = client.exchange(calls.delete_rule(rule))
        if json:
            print_json(envelope)
        else:
            print_lines(printable(f"Rule {rule} deleted."))


def _show(rule: AlertRule) -> None:
    from cronally.cli.rule_tables import print_rule

    print_rule(rule)

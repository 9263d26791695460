"""The endpoints for rules of alerts: what an account is told of.

Invariant: as in `routes`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import NoParameters, RuleId, Signed, Works, in_body, in_header
from cronally.contract.alert_rules import AlertRule, AlertRuleChange, NewAlertRule
from cronally.contract.reading import Reading
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.wire import IDEMPOTENCY_KEY_HEADER

alert_rules = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_RULES = "Alerts"
_RULE = "/rule/{rule_id:identifier}/"


@alert_rules.post("/rule/", tags=[_RULES], responses=one(AlertRule, 403))
async def create_rule(
    caller: Signed,
    new: Annotated[Reading[NewAlertRule], in_body(NewAlertRule)],
    idempotency_key: Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)],
    works: Works,
) -> JsonAnswer:
    """Make a rule: what is told of a cron job, of those of a tag, or of all of the account."""
    made = works.operations.alert_rules.create(caller, new, idempotency_key=idempotency_key)
    return success(await made)


@alert_rules.get("/rules/", tags=[_RULES], responses=a_list_of(AlertRule))
async def list_rules(caller: Signed, _nothing: NoParameters, works: Works) -> Response:
    """List the account's rules, the oldest first."""
    return success_page(await works.operations.alert_rules.list_rules(caller))


@alert_rules.get(_RULE, tags=[_RULES], responses=one(AlertRule))
async def get_rule(caller: Signed, _nothing: NoParameters, rule_id: RuleId, works: Works) -> JsonAnswer:
    """Show a rule."""
    return success(await works.operations.alert_rules.get(caller, rule_id))


@alert_rules.patch(_RULE, tags=[_RULES], responses=one(AlertRule))
async def update_rule(
    caller: Signed,
    change: Annotated[Reading[AlertRuleChange], in_body(AlertRuleChange, changes=True)],
    rule_id: RuleId,
    works: Works,
) -> JsonAnswer:
    """Change what a rule says; what is not sent stays."""
    return success(await works.operations.alert_rules.update(caller, rule_id, change))


@alert_rules.delete(_RULE, tags=[_RULES], responses=one(AlertRule))
async def delete_rule(caller: Signed, _nothing: NoParameters, rule_id: RuleId, works: Works) -> JsonAnswer:
    """Delete a rule: what stands by it is told no more."""
    return success(await works.operations.alert_rules.delete(caller, rule_id))

"""The endpoints for channels, to which alerts go, and for what an account was told.

Invariant: as in `routes`. The path takes a channel's id or its name: a name is never an id, nor a word of a path.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally.api.answers import JsonAnswer, success, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, one
from cronally.api.requests import (
    AlertId,
    MeantChannel,
    NoParameters,
    Signed,
    Works,
    in_body,
    in_header,
    in_query,
)
from cronally.contract.alerts import Alert, AlertPage
from cronally.contract.channel_requests import ChannelChange, ChannelPage, NewChannel
from cronally.contract.channels import Channel
from cronally.contract.reading import Reading
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.wire import IDEMPOTENCY_KEY_HEADER

channels = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_CHANNELS = "Channels"
_ALERTS = "Alerts"
_CHANNEL = "/channel/{channel_id:channel}/"


@channels.post("/channel/", tags=[_CHANNELS], responses=one(Channel, 403, 429))
async def create_channel(
    caller: Signed,
    new: Annotated[Reading[NewChannel], in_body(NewChannel)],
    idempotency_key: Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)],
    works: Works,
) -> JsonAnswer:
    """Create a channel, to which alerts go. An address of email gets a mail first, with a link to confirm it."""
    return success(await works.operations.channels.create(caller, new, idempotency_key=idempotency_key))


@channels.get("/channels/", tags=[_CHANNELS], responses=a_list_of(Channel))
async def list_channels(
    caller: Signed, page: Annotated[Reading[ChannelPage], in_query(ChannelPage)], works: Works
) -> Response:
    """List the account's channels by name."""
    return success_page(await works.operations.channels.list_channels(caller, page))


@channels.get(_CHANNEL, tags=[_CHANNELS], responses=one(Channel))
async def get_channel(
    caller: Signed, _nothing: NoParameters, channel_id: MeantChannel, works: Works
) -> JsonAnswer:
    """Show a channel, without its secrets."""
    return success(await works.operations.channels.get(caller, channel_id))


@channels.patch(_CHANNEL, tags=[_CHANNELS], responses=one(Channel, 429))
async def update_channel(
    caller: Signed,
    change: Annotated[Reading[ChannelChange], in_body(ChannelChange, changes=True)],
    channel_id: MeantChannel,
    works: Works,
) -> JsonAnswer:
    """Change a channel; what is not sent stays. Another address of email is to be confirmed first."""
    return success(await works.operations.channels.update(caller, channel_id, change))


@channels.post(f"{_CHANNEL}test/", tags=[_CHANNELS], responses=one(Alert, 409, 429))
async def send_test(
    caller: Signed, _nothing: NoParameters, channel_id: MeantChannel, works: Works
) -> JsonAnswer:
    """Send an alert to a channel that says that it is a test. GET /alert/<id>/ shows what becomes of it."""
    return success(await works.operations.channels.test(caller, channel_id))


@channels.post(f"{_CHANNEL}confirm/", tags=[_CHANNELS], responses=one(Channel, 409, 429))
async def ask_again(
    caller: Signed, _nothing: NoParameters, channel_id: MeantChannel, works: Works
) -> JsonAnswer:
    """Send the mail with the link that confirms an address once more; the links before end."""
    return success(await works.operations.channels.ask_again(caller, channel_id))


@channels.delete(_CHANNEL, tags=[_CHANNELS], responses=one(Channel))
async def delete_channel(
    caller: Signed, _nothing: NoParameters, channel_id: MeantChannel, works: Works
) -> JsonAnswer:
    """Delete a channel; its secrets are erased, and what was to be sent to it is skipped."""
    return success(await works.operations.channels.delete(caller, channel_id))


@channels.get("/account/alerts/", tags=[_ALERTS], responses=a_list_of(Alert, None, 404))
async def list_alerts(
    caller: Signed, page: Annotated[Reading[AlertPage], in_query(AlertPage)], works: Works
) -> Response:
    """List the account's alerts, the newest first, with what became of each."""
    return success_page(await works.operations.alerted.list_alerts(caller, page))


@channels.get("/alert/{alert_id:identifier}/", tags=[_ALERTS], responses=one(Alert))
async def get_alert(caller: Signed, _nothing: NoParameters, alert_id: AlertId, works: Works) -> JsonAnswer:
    """Show an alert, with what became of it with each channel."""
    return success(await works.operations.alerted.get(caller, alert_id))

"""The endpoints: each handler with its path, its parameters and its answer.

Invariant: a handler reads nothing of the body before the request is authenticated, because its first parameter is the
caller; and it decides nothing: rules about tenants live in `cronally.operations`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from cronally import __version__
from cronally.api.answers import JsonAnswer, accepted, success, success_firings, success_page
from cronally.api.openapi import DocumentedRoute, a_list_of, a_list_of_firings, one, one_or_mailed
from cronally.api.requests import (
    Admitted,
    CalendarName,
    CronjobId,
    CronjobName,
    Limited,
    NoParameters,
    RequestId,
    Signed,
    Works,
    in_body,
    in_header,
    in_query,
)
from cronally.contract.accounts import Account, AccountChange, AccountDeletion, DeletedAccount, Signup
from cronally.contract.calendars import Calendar, CalendarDates
from cronally.contract.cronjob_requests import CronjobChange, CronjobQuery, NamedCronjob, NewCronjob, Pause
from cronally.contract.cronjobs import Cronjob
from cronally.contract.firings import Firing, FiringQuery, FiringsOfCronjobQuery, ManualFiring
from cronally.contract.forecasts import Forecast, ForecastRange
from cronally.contract.reading import Reading
from cronally.contract.renderings import Rendered, Rendering
from cronally.contract.schedules import (
    CronjobPreview,
    Explanation,
    ExpressionPreview,
    Preview,
    Question,
    Window,
)
from cronally.contract.service import Health, Readiness, Status
from cronally.contract.values import IDEMPOTENCY_KEY
from cronally.contract.verification import Verification
from cronally.wire import IDEMPOTENCY_KEY_HEADER

router = APIRouter(route_class=DocumentedRoute, redirect_slashes=False)

_CRONJOB = "/cronjob/{cronjob_id:identifier}/"
_CALENDAR = "/calendar/{name:calendar}/"
_ACCOUNTS, _CRONJOBS, _SCHEDULES = "Accounts", "Cron jobs", "Previews and explanations"
_CALENDARS = "Calendars"
_FIRINGS, HEALTH = "Firings", "Health"


@router.post(
    "/account/",
    tags=[_ACCOUNTS],
    responses=one_or_mailed(Account),
)
async def create_account(
    address: Admitted, new: Annotated[Reading[Signup], in_body(Signup)], request_id: RequestId, works: Works
) -> JsonAnswer:
    """Create an account, or where sign-up is verified have a link mailed that does."""
    if works.signup.by_mail:
        return accepted(await works.operations.verified_signup.ask(new, address))
    return success(await works.operations.create_account(new, address=address, request_id=request_id))


@router.get(
    "/account/",
    tags=[_ACCOUNTS],
    responses=one(Account),
)
async def get_account(caller: Signed, _nothing: NoParameters, works: Works) -> JsonAnswer:
    """Show the account of the API key."""
    return success(await works.operations.get_account(caller))


@router.patch(
    "/account/",
    tags=[_ACCOUNTS],
    responses=one(Account),
)
async def update_account(
    caller: Signed,
    change: Annotated[Reading[AccountChange], in_body(AccountChange, changes=True)],
    works: Works,
) -> JsonAnswer:
    """Change what holds for the whole account."""
    return success(await works.operations.update_account(caller, change))


@router.delete("/account/", tags=[_ACCOUNTS], responses=one(DeletedAccount))
async def delete_account(
    caller: Signed, meant: Annotated[Reading[AccountDeletion], in_query(AccountDeletion)], works: Works
) -> JsonAnswer:
    """Delete the account: at once nothing of it fires, and its keys are unknown."""
    return success(await works.operations.closing.delete_own(caller, meant))


@router.get(
    "/cronjobs/",
    tags=[_CRONJOBS],
    responses=a_list_of(Cronjob, "cronjob_id"),
)
async def list_cronjobs(
    caller: Signed, page: Annotated[Reading[CronjobQuery], in_query(CronjobQuery)], works: Works
) -> Response:
    """List the account's cron jobs; all of them without limit and cursor."""
    return success_page(await works.operations.list_cronjobs(caller, page))


@router.post("/cronjob/", tags=[_CRONJOBS], responses=one(Cronjob, 403))
async def create_cronjob(
    caller: Signed,
    new: Annotated[Reading[NewCronjob], in_body(NewCronjob)],
    idempotency_key: Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)],
    works: Works,
) -> JsonAnswer:
    """Create a cron job."""
    return success(await works.operations.create_cronjob(caller, new, idempotency_key=idempotency_key))


@router.get(_CRONJOB, tags=[_CRONJOBS], responses=one(Cronjob))
async def get_cronjob(
    caller: Signed, _nothing: NoParameters, cronjob_id: CronjobId, works: Works
) -> JsonAnswer:
    """Show a cron job."""
    return success(await works.operations.get_cronjob(caller, cronjob_id))


@router.patch(
    _CRONJOB,
    tags=[_CRONJOBS],
    responses=one(Cronjob, 403),
)
async def update_cronjob(
    caller: Signed,
    change: Annotated[Reading[CronjobChange], in_body(CronjobChange, changes=True)],
    cronjob_id: CronjobId,
    works: Works,
) -> JsonAnswer:
    """Change a cron job; what is not sent stays."""
    return success(await works.operations.update_cronjob(caller, cronjob_id, change))


@router.delete(
    _CRONJOB,
    tags=[_CRONJOBS],
    responses=one(Cronjob),
)
async def delete_cronjob(
    caller: Signed, _nothing: NoParameters, cronjob_id: CronjobId, works: Works
) -> JsonAnswer:
    """Delete a cron job; its secret is erased, its firings stay in the ledger."""
    return success(await works.operations.delete_cronjob(caller, cronjob_id))


@router.put("/cronjob/by-name/{name:name}/", tags=[_CRONJOBS], responses=one(Cronjob, 403, 409))
async def put_cronjob(
    caller: Signed,
    wanted: Annotated[Reading[NamedCronjob], in_body(NamedCronjob)],
    name: CronjobName,
    works: Works,
) -> JsonAnswer:
    """Create the cron job of this name, or change it: what is not sent has its default."""
    return success(await works.operations.editing.put(caller, name, wanted))


@router.post(f"{_CRONJOB}verify/", tags=[_CRONJOBS], responses=one(Verification))
async def verify_cronjob(
    caller: Signed, _nothing: NoParameters, cronjob_id: CronjobId, works: Works
) -> JsonAnswer:
    """Send the target of a cron job a test message, now, and show what it says."""
    return success(await works.operations.verify_cronjob(caller, cronjob_id))


@router.post(f"{_CRONJOB}run/", tags=[_CRONJOBS], responses=one(Firing, 403))
async def run_cronjob(
    caller: Signed,
    asked: Annotated[Reading[ManualFiring], in_body(ManualFiring)],
    idempotency_key: Annotated[str | None, in_header(IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY)],
    cronjob_id: CronjobId,
    works: Works,
) -> JsonAnswer:
    """Fire a cron job once, now or at an instant of the next 24 hours, in whichever state it is."""
    runs = works.operations.runs
    return success(await runs.run_cronjob(caller, cronjob_id, asked, idempotency_key=idempotency_key))


@router.post(f"{_CRONJOB}pause/", tags=[_CRONJOBS], responses=one(Cronjob))
async def pause_cronjob(
    caller: Signed, pause: Annotated[Reading[Pause], in_body(Pause)], cronjob_id: CronjobId, works: Works
) -> JsonAnswer:
    """Let a cron job stand still: what falls due meanwhile is skipped."""
    return success(await works.operations.pausing.pause(caller, cronjob_id, pause))


@router.post(f"{_CRONJOB}resume/", tags=[_CRONJOBS], responses=one(Cronjob))
async def resume_cronjob(
    caller: Signed, _nothing: NoParameters, cronjob_id: CronjobId, works: Works
) -> JsonAnswer:
    """Let a paused cron job fire again, from its next fire time on."""
    return success(await works.operations.pausing.resume(caller, cronjob_id))


@router.get(
    "/schedule/preview/",
    tags=[_SCHEDULES],
    dependencies=[Limited],
    responses=one(Preview),
)
async def preview_expression(
    query: Annotated[Reading[ExpressionPreview], in_query(ExpressionPreview)], works: Works
) -> JsonAnswer:
    """Show when an expression will fire, as of a cron job that is created after the instant `after`."""
    return success(works.operations.preview_expression(query, now=works.clock()))


@router.get(
    f"{_CRONJOB}preview/",
    tags=[_SCHEDULES],
    responses=one(CronjobPreview),
)
async def preview_cronjob(
    caller: Signed,
    window: Annotated[Reading[Window], in_query(Window)],
    cronjob_id: CronjobId,
    works: Works,
) -> JsonAnswer:
    """Show when a cron job will fire."""
    return success(await works.operations.preview_cronjob(caller, cronjob_id, window))


@router.get(
    f"{_CRONJOB}explain/",
    tags=[_SCHEDULES],
    responses=one(Explanation),
)
async def explain_cronjob(
    caller: Signed,
    question: Annotated[Reading[Question], in_query(Question)],
    cronjob_id: CronjobId,
    works: Works,
) -> JsonAnswer:
    """Explain why a cron job, deleted or not, did or did not fire at an instant."""
    return success(await works.operations.explain_cronjob(caller, cronjob_id, question))


@router.get(
    f"{_CRONJOB}render/",
    tags=[_SCHEDULES],
    responses=one(Rendering),
)
async def render_cronjob(
    caller: Signed,
    question: Annotated[Reading[Rendered], in_query(Rendered)],
    cronjob_id: CronjobId,
    works: Works,
) -> JsonAnswer:
    """Show what a cron job would send at a fire time, with its placeholders filled in."""
    return success(await works.operations.renderings.render(caller, cronjob_id, question))


@router.get(
    f"{_CRONJOB}firings/",
    tags=[_FIRINGS],
    responses=a_list_of_firings(),
)
async def list_firings_of_cronjob(
    caller: Signed,
    page: Annotated[Reading[FiringsOfCronjobQuery], in_query(FiringsOfCronjobQuery)],
    cronjob_id: CronjobId,
    works: Works,
) -> Response:
    """List the firings of a cron job, newest first or oldest first."""
    return success_firings(await works.operations.list_firings_of_cronjob(caller, cronjob_id, page), page)


@router.get(
    "/account/firings/",
    tags=[_FIRINGS],
    responses=a_list_of_firings(404),
)
async def list_firings(
    caller: Signed, page: Annotated[Reading[FiringQuery], in_query(FiringQuery)], works: Works
) -> Response:
    """List the account's firings, newest first or oldest first."""
    return success_firings(await works.operations.list_firings(caller, page), page)


@router.get(
    "/account/forecast/",
    tags=[_SCHEDULES],
    responses=one(Forecast),
)
async def forecast(
    caller: Signed, range_: Annotated[Reading[ForecastRange], in_query(ForecastRange)], works: Works
) -> JsonAnswer:
    """Show what lies ahead of the account: firings by minute and host, the busiest seconds, and what to spread."""
    return success(await works.operations.forecasts.forecast(caller, range_))


@router.get("/calendars/", tags=[_CALENDARS], responses=a_list_of(Calendar))
async def list_calendars(caller: Signed, _nothing: NoParameters, works: Works) -> Response:
    """List the account's calendars by name, without their dates."""
    return success_page(await works.operations.calendars.list_calendars(caller))


@router.put(_CALENDAR, tags=[_CALENDARS], responses=one(Calendar, 403))
async def put_calendar(
    caller: Signed,
    dates: Annotated[Reading[CalendarDates], in_body(CalendarDates)],
    name: CalendarName,
    works: Works,
) -> JsonAnswer:
    """Create a calendar, or replace the dates in it."""
    return success(await works.operations.calendars.put_calendar(caller, name, dates))


@router.get(_CALENDAR, tags=[_CALENDARS], responses=one(Calendar))
async def get_calendar(
    caller: Signed, _nothing: NoParameters, name: CalendarName, works: Works
) -> JsonAnswer:
    """Show a calendar with its dates."""
    return success(await works.operations.calendars.get_calendar(caller, name))


@router.delete(_CALENDAR, tags=[_CALENDARS], responses=one(Calendar))
async def delete_calendar(
    caller: Signed, _nothing: NoParameters, name: CalendarName, works: Works
) -> JsonAnswer:
    """Delete a calendar that no cron job excludes."""
    return success(await works.operations.calendars.delete_calendar(caller, name))


@router.get("/healthz/", tags=[HEALTH], responses=one(Health))
async def get_healthz() -> JsonAnswer:
    """Whether the process lives."""
    return success(Health(version=__version__))


@router.get(
    "/readyz/",
    tags=[HEALTH],
    responses=one(Readiness),
)
async def get_readyz(works: Works) -> JsonAnswer:
    """Whether the database answers, and how the engine stands."""
    return success(await works.readiness.ask())


@router.get("/status/", tags=[HEALTH], responses=one(Status))
async def get_status(works: Works) -> JsonAnswer:
    """What the server's operator has to tell."""
    await works.notice.renewed()
    return success(works.notice.status)

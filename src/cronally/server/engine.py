"""What fires, and works in the background: the loops of the scheduler, the janitor, operations and the dispatcher, as
far as this process has these roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from cronally.engine import account_limits, acknowledging, conditions, proofs, shares, window
from cronally.engine.account_limits import AccountLimits
from cronally.engine.acknowledging import Acknowledging
from cronally.engine.admission import Limits
from cronally.engine.alerting import Alerting
from cronally.engine.conditions import Conditions
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.janitor import Janitor
from cronally.engine.loop import Loop
from cronally.engine.metrics import Metrics
from cronally.engine.proofs import Proofs
from cronally.engine.scheduler import Scheduler
from cronally.instants import SECOND
from cronally.operations.background import Background
from cronally.role import Role
from cronally.server.resources import make_links, make_mail, make_operations
from cronally.server.settings import Settings
from cronally.store import Store
from cronally.targets.target import Target
from cronally.vault import Vault

POLL: Final = 1.0
"""Seconds after which a loop looks for work without being woken."""


@dataclass(slots=True)
class Engine:
    """What repeats in this process."""

    loops: list[Loop]
    dispatcher: Dispatcher | None
    """Asked how much is in flight, and stopped last."""
    alerting: Alerting | None = None
    """Stopped before."""


def make_engine(
    settings: Settings,
    store: Store,
    vault: Vault,
    targets: Mapping[str, Target],
    node: str,
    registry: CollectorRegistry,
) -> Engine:
    """Put the loops together.

    :param node: a name of this process that no other one has
    """
    metrics = Metrics(registry)
    engine = Engine([], None)
    marked = None
    if Role.SCHEDULER in settings.roles:
        scheduler = Scheduler(store, node=node, on_time=settings.on_time, observe=metrics.observe_tick)
        janitor = Janitor(store, retention=settings.retention, audit_retention=settings.audit_retention)
        metrics.watch_janitor(janitor.done)
        marked = scheduler.early.done
        engine.loops += [
            Loop(Role.SCHEDULER, scheduler.step, poll=POLL, wake=scheduler.wake),
            Loop("janitor", janitor.step, poll=60.0),
            Loop("acknowledgements", Acknowledging(store).step, poll=acknowledging.POLL),
        ]
        made = make_operations(settings, store, vault, targets)
        operations = Background(store, made.actions)
        engine.loops.append(Loop("operations", operations.step, poll=POLL, wake=operations.wake))
        told = Conditions(store, targets, made.pausing.stop)
        engine.loops.append(Loop("conditions", told.step, poll=conditions.POLL))
    if Role.DISPATCHER in settings.roles:
        limits = Limits(
            settings.in_flight,
            settings.in_flight_per_account,
            settings.lease / SECOND,
            first=shares.FIRST,
            window=window.FIRST,
            reserve=settings.in_flight // 4,
            in_flight_per_host=settings.in_flight_per_host,
            per_second_per_host=settings.requests_per_second_per_host,
            in_flight_per_proven_host=settings.in_flight_per_proven_host or settings.in_flight_per_host,
            per_second_per_proven_host=settings.requests_per_second_per_proven_host
            or settings.requests_per_second_per_host,
            long_in_flight=settings.long_in_flight,
        )
        engine.dispatcher = dispatcher = Dispatcher(
            store,
            vault,
            targets,
            limits,
            links=make_links(settings, vault),
            observe=metrics.observe_records,
            opened=metrics.count_opened,
        )
        long = dispatcher.admission.long
        metrics.watch_in_flight(lambda: dispatcher.in_flight - len(long), lambda: len(long))
        metrics.watch_circuits(lambda: dispatcher.admission.circuits.open_count)
        engine.loops.append(
            Loop(Role.DISPATCHER, engine.dispatcher.step, poll=POLL, wake=engine.dispatcher.wake)
        )
        engine.alerting = alerting = Alerting(
            store,
            vault,
            targets,
            make_mail(settings),
            lease=settings.lease / SECOND,
            hosts=dispatcher.admission.host_limits,
        )
        engine.loops.append(Loop("alerts", alerting.step, poll=POLL, wake=alerting.wake))
        known = Proofs(store, targets, dispatcher.admission.know_proven)
        engine.loops.append(Loop("proofs", known.step, poll=proofs.POLL))
        own = AccountLimits(store, dispatcher.admission.know_caps)
        engine.loops.append(Loop("limits", own.step, poll=account_limits.POLL))
    if engine.loops:
        metrics.watch_clock(store.timekeeper, marked)
    return engine

"""What happens, by chance: single steps, and short stories in which a control meets its edges.

A step says how time passes, what is asked for, what a node does meanwhile, what nodes do then, how many, and what their
target answers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from cronally.instants import DAY, HOUR, MINUTE, SECOND
from tests.control import asking
from tests.control.nodes import OUTCOMES

MOST = 3
"""Cron jobs at once."""
DATES = st.lists(st.integers(-1, 3), min_size=1, max_size=2)
OWN: dict[str, st.SearchStrategy[Any]] = {
    "overlap": st.sampled_from(["skip", "allow", "queue"]),
    "retry_max_attempts": st.sampled_from([185, 0, 2]),
    "max_age": st.sampled_from(["24h", "30m"]),
    "tags": st.sampled_from([["web"], []]),
    "sns_topic": st.sampled_from([f"arn:aws:sns:eu-west-1:123456789012:{name}" for name in ("one", "two")]),
}
"""What does not decide when a cron job fires."""
NEAR = st.sampled_from([0, 0, 0, -1, 1])
"""How far from an instant, in microseconds."""
LATE = st.sampled_from([0, 0, MINUTE, -1, 1, HOUR, MINUTE + 1])
"""How late somebody looks, at the edges of what is on time and of a grace."""
LATER = st.sampled_from([1, SECOND, 7 * MINUTE, HOUR + 3 * MINUTE, 5 * HOUR, 26 * HOUR])
UNTIL = st.one_of(st.tuples(st.integers(0, 2), NEAR), st.sampled_from([None, None, MINUTE, 2 * DAY]))
"""When a pause ends: about a fire time to come, never, after a duration."""
ANSWERS = st.sampled_from(OUTCOMES)
ALL = st.just(("schedule", "deliver"))
WORKED = st.sampled_from([("schedule", "deliver"), ("schedule", "deliver"), ("schedule",), ("deliver",), ()])
MEANWHILE = st.sampled_from([None, None, "schedule", "deliver"])

Done = tuple[str, dict[str, Any]]
"""A verb of `Controls`, and what it is given."""
Doing = st.SearchStrategy[Done]
Story = st.SearchStrategy[tuple[Any, ...]]


def _do(verb: str, **given: st.SearchStrategy[Any]) -> Doing:
    return st.tuples(st.just(verb), st.fixed_dictionaries(given))


NOTHING = _do("nothing")
FREEZE = _do(
    "freeze",
    of=st.sampled_from([{}, {"tag": "web"}, {"host": "one.example.com"}]),
    rule=st.sampled_from(["skip", "latest", "all"]),
    lasts=st.sampled_from(["61m", "5h", "2m"]),
)
LIFT = _do("lift", which=st.integers(0, 2))
BEGIN = _do("create", given=asking.whole, own=st.fixed_dictionaries(OWN))
FIRST = _do("create", given=asking.unbounded, own=st.fixed_dictionaries(OWN))
PASSES = _do("time_passes", duration=LATER)
AT_ONCE = _do("time_passes", duration=st.just(0))
STATES = st.sampled_from(
    [["failed"], ["delivered"], ["missed", "skipped"], ["failed", "skipped", "delivered"]]
)
BACK_FROM = st.sampled_from([90 * MINUTE, 5 * HOUR, 26 * HOUR])
"""How far back a backfill begins."""
BACK_TO = st.sampled_from([0, 0, 0, HOUR])
BACK = _do("the_clock_goes_back")


def _step(
    time: Doing,
    asked: Doing = NOTHING,
    worked: st.SearchStrategy[tuple[str, ...]] = ALL,
    answers: st.SearchStrategy[str] = ANSWERS,
) -> st.SearchStrategy[Any]:
    return st.tuples(time, asked, MEANWHILE, worked, st.integers(0, 1), answers)


@cache
def _stories(number: int) -> Story:
    """Of one cron job."""
    which = st.just(number)

    def comes(near: st.SearchStrategy[int] = NEAR) -> Doing:
        return _do("a_fire_time_comes", near=near, number=which)

    pause = _do("pause", number=which, ends=UNTIL, note=st.sampled_from([{}, {"note": "deploying"}]))
    change = _do("change", number=which, given=asking.change)
    put = _do("put", number=which, given=st.one_of(st.none(), asking.whole))
    touch = _do("change", number=which, given=st.fixed_dictionaries({"catch_up": asking.CHOICES["catch_up"]}))
    resume, rename = _do("resume", number=which), _do("rename", number=which)
    run = _do("run_now", number=which, ahead=st.sampled_from([None, None, "20m", "5h"]))
    delete = _do("delete", number=which)
    then = st.one_of(NOTHING, NOTHING, pause, resume, change, delete, run, FREEZE, LIFT)
    order, crashes = st.sampled_from(["oldest", "newest"]), st.booleans()
    again = st.one_of(
        _do("replay", number=which, which=st.integers(0, 30)),
        _do("replay_set", number=which, states=STATES, order=order, crashes=crashes, then=then),
        _do("backfill", number=which, back=BACK_FROM, until=BACK_TO, order=order, crashes=crashes, then=then),
    )
    control = st.one_of(pause, resume, change, put, rename, run)
    asked = st.one_of(control, control, delete, BEGIN, _do("change_calendar", dates=DATES), NOTHING)
    time = st.one_of(comes(LATE), comes(LATE), comes(LATE), PASSES, BACK)

    def twice(answers: str) -> Story:
        same = st.just(answers)
        return st.tuples(_step(comes(), answers=same), _step(comes(), run, answers=same), _step(PASSES))

    once_more = st.tuples(
        _step(comes(LATE), st.one_of(NOTHING, NOTHING, pause, FREEZE, change)),
        _step(PASSES, again),
        _step(comes(), st.one_of(again, control, LIFT), WORKED),
        _step(PASSES),
    )
    return st.one_of(
        st.tuples(_step(time, asked, WORKED)),
        st.tuples(_step(time, asked, WORKED)),
        # It fires, the clock goes back a little, and something is asked for, and at once something else.
        st.tuples(
            _step(comes(st.just(0))),
            _step(BACK, st.one_of(touch, pause, control), WORKED),
            _step(AT_ONCE, st.one_of(resume, touch, NOTHING), WORKED),
            _step(comes(LATE)),
        ),
        # A pause ends, or is ended, about a fire time.
        st.tuples(_step(comes(), pause), _step(comes(), st.one_of(NOTHING, control), WORKED), _step(comes())),
        # A pause lasts, and somebody looks, or changes it.
        st.tuples(
            _step(comes(), pause),
            _step(comes(), st.one_of(NOTHING, pause)),
            _step(PASSES),
            _step(comes(), asked),
            _step(comes(LATE)),
        ),
        # It ends in the same way once more, while an earlier one may be open.
        ANSWERS.flatmap(twice),
        # Something is frozen, it fires, and that ends or is lifted.
        st.tuples(
            _step(comes(), FREEZE),
            _step(comes(), control),
            _step(comes(), st.one_of(NOTHING, LIFT, FREEZE), WORKED),
            _step(PASSES),
        ),
        # Something comes to its end or is left out, and goes once more, perhaps in a pause or a freeze.
        once_more,
        once_more,
    )


def steps(most: int) -> st.SearchStrategy[list[Any]]:
    """So many stories at most."""
    one = st.integers(0, MOST - 1).flatmap(_stories)
    return st.lists(one, min_size=most * 3 // 4, max_size=most).map(
        lambda stories: [step for story in stories for step in story]
    )

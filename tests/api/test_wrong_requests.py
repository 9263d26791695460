"""What wrong requests are answered, pinned word for word in `wrong_requests.json`.

After a change of a message that is wanted, `python -m tests.api.record_wrong_requests` writes the file anew; read
every difference in `git diff tests/api/wrong_requests.json` before it is committed. A new case is added to the file
without its `answer`, then recorded the same way; `wrong_requests.py` describes the keys of a case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.api import wrong_requests
from tests.api.wrong_requests import Case, Scene
from tests.support.factories import CANARY

CASES: Final = wrong_requests.load()
SECRET_CASES: Final = [case for case in CASES if wrong_requests.holds_secret(case)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with wrong_requests.scene(tmp_path_factory.mktemp("wrong")) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_wrong_requests__the_answer_is_the_pinned_one(scene: Scene, case: Case) -> None:
    assert wrong_requests.pinned(scene.send(case)) == case["answer"]


@pytest.mark.parametrize("case", SECRET_CASES, ids=[case["name"] for case in SECRET_CASES])
def test_wrong_requests__no_answer_repeats_a_secret(scene: Scene, case: Case) -> None:
    answer = scene.send(case)
    assert CANARY.encode() not in answer.body
    assert CANARY not in str(answer.headers)


def test_wrong_requests__the_corpus_is_whole() -> None:
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names) >= 170
    assert len(SECRET_CASES) >= 30
    assert all(case["answer"]["status"] >= 400 for case in CASES)

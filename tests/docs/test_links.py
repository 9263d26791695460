"""Links in Markdown lead somewhere, and what is named there exists."""

from __future__ import annotations

import re

import pytest

from cronally import variables
from cronally.contract import channel_requests
from cronally.contract.attribute import declared
from cronally.contract.connection_requests import PARAMETERS
from cronally.contract.targets import TARGETS
from cronally.server import settings
from scripts import settings_table
from tests.docs.markdown import ROOT, Page, pages, read

PAGES = pages()

OF_CLIENTS = {
    *variables.OF_CLIENTS,
    *(
        variables.of_secret(name)
        for kind in (*PARAMETERS.values(), *TARGETS.values(), *channel_requests.PARAMETERS.values())
        for name, one in declared(kind).items()
        if one.attribute.secret and one.type is str
    ),
}
OF_SERVICES = {"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_STS"}
"""Examples of what one service of AWS is called by."""
FOR_TESTS = {variables.FAILPOINT}


def known_variables() -> set[str]:
    """Every variable of the server's settings, `_FILE` forms included."""
    own = set(settings_table.variables())
    return own | {f"{name}_FILE" for name in settings.SECRETS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))
def test_links__lead_to_files_and_anchors(page: Page) -> None:
    for link in page.links():
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in read(target).anchors(), link


def test_pages__every_document_is_reached_from_the_readme() -> None:
    by_path = {page.path: page for page in PAGES}
    reached = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path not in by_path:
            continue
        reached.add(path)
        for link in by_path[path].links():
            target = (path.parent / link.partition("#")[0]).resolve()
            waiting.append(target / "README.md" if target.is_dir() else target)
    assert {page.path for page in PAGES if "docs" in page.path.parts} <= reached


def test_pages__name_only_variables_that_exist() -> None:
    known = known_variables() | OF_CLIENTS | OF_SERVICES | FOR_TESTS
    for page in PAGES:
        named = set(re.findall(r"\b(?:CRONALLY|AWS)_[A-Z_]*[A-Z]\b", page.path.read_text()))
        assert named <= known, page.path


def test_variables__that_the_code_reads_are_documented() -> None:
    read_by_code = set()
    for path in (ROOT / "src").rglob("*.py"):
        read_by_code |= set(re.findall(r"\bCRONALLY_[A-Z_]*[A-Z]\b", path.read_text()))
    documented = "\n".join(page.path.read_text() for page in PAGES)
    for variable in read_by_code:
        assert re.search(rf"\b{variable}\b", documented), variable
    assert read_by_code <= known_variables() | OF_CLIENTS | OF_SERVICES | FOR_TESTS

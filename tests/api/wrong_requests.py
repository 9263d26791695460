"""The corpus of wrong requests: how a case of `wrong_requests.json` is read, sent and compared.

Invariant: no case succeeds. So no case changes what another one meets, and the order of the cases does not matter.

A case has a `name`, a `method` and a `path`, and where it needs them a `query` (raw), `headers`, and a `body` (raw
text) or `body_base64` (bytes that are no UTF-8). `unsigned` leaves the signature out; `signup` chooses the server
with that mode of sign-up. `answer` is what is pinned: the status and the whole `error`.

Path, query, headers and body may hold placeholders: `{sns}`, `{http}`, `{deleted}` and `{foreign}` for the ids of
cron jobs (one of each target, a deleted one, another account's), `{cursor}` for a cursor of `GET /cronjobs/`,
`{key}` for the account's API key, and `{x*300}` for 300 times `x`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cronally.api import Signup
from cronally.clock import zones
from tests.api.serving import Answer, Api, Client, ask, serving, sign_up
from tests.operations.parameters import HTTP, SNS
from tests.support.factories import CANARY

PATH: Final = Path(__file__).with_name("wrong_requests.json")
REGISTERED: Final = "registered@example.com"
USED_KEY: Final = "used-key"

Case = dict[str, Any]

_LIMITS: Final = {"signups_per_minute": 100_000}
_SIGNUPS: Final = {"open": Signup(), "token": Signup("token", f"{CANARY}-token"), "closed": Signup("closed")}
_REPEATED: Final = re.compile(r"\{(.)\*([0-9]+)\}")
# They differ from answer to answer.
_VARYING: Final = ("server_time", "error_id")


def load() -> list[Case]:
    """The cases in the order of the file."""
    cases: list[Case] = json.loads(PATH.read_text(encoding="utf-8"))
    return cases


def save(cases: list[Case]) -> None:
    """Write the file anew."""
    PATH.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Scene:
    """Servers with one mode of sign-up each; an account with cron jobs on the one that is open to all."""

    servers: Mapping[str, Api]
    client: Client
    placeholders: Mapping[str, str]

    def send(self, case: Case) -> Answer:
        """Send a case."""
        path = self._fill(case["path"])
        if "query" in case:
            path += f"?{self._fill(case['query'])}"
        headers = {name: self._fill(value) for name, value in case.get("headers", {}).items()}
        body = None
        if "body" in case:
            body = self._fill(case["body"]).encode()
        elif "body_base64" in case:
            body = base64.b64decode(case["body_base64"])
        if not case.get("unsigned"):
            headers = {**self.client.headers(case["method"], path), **headers}
        return ask(self.servers[case.get("signup", "open")], case["method"], path, body, headers)

    def _fill(self, text: str) -> str:
        for name, value in self.placeholders.items():
            text = text.replace(f"{{{name}}}", value)
        return _REPEATED.sub(lambda match: match[1] * int(match[2]), text)


def pinned(answer: Answer) -> Case:
    """What is compared of an answer: the status, and the error without what varies.

    A message that is all complaints of `fields` in a row is pinned as `{fields}`: it says nothing of its own, and the
    order of the complaints is no promise.
    """
    error = {name: value for name, value in answer.error.items() if name not in _VARYING}
    if error["message"] == "; ".join(f"{name}: {complaint}" for name, complaint in answer.fields.items()):
        error["message"] = "{fields}"
    error["fields"] = dict(sorted(answer.fields.items()))
    text = json.dumps(error).replace(f"({zones.version()})", "({tzdata})")
    return {"status": answer.status, "error": json.loads(text)}


def holds_secret(case: Case) -> bool:
    """Whether a case has the word that stands for secrets anywhere."""
    body = base64.b64decode(case.get("body_base64", "")).decode("latin-1")
    request = {name: value for name, value in case.items() if name != "answer"}
    return CANARY in json.dumps(request) + body


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """The servers, on SQLite, for the length of the block.

    :param folder: where the databases go
    """
    with contextlib.ExitStack() as stack:
        servers = {
            mode: stack.enter_context(
                serving(
                    f"sqlite:///{folder / f'{mode}.db'}",
                    operations=_LIMITS,
                    signup=signup,
                    previews_per_minute=100_000,
                    requests_per_minute=100_000,
                )
            )
            for mode, signup in _SIGNUPS.items()
        }
        client = sign_up(servers["open"], REGISTERED)
        other = sign_up(servers["open"], "other@example.com")
        yield Scene(servers, client, _set_up(client, other))


def _set_up(client: Client, other: Client) -> dict[str, str]:
    """Create what the cases need; return the placeholders."""
    created = {
        "sns": client.ask("POST", "/cronjob/", SNS, headers={"Idempotency-Key": USED_KEY}),
        "http": client.ask("POST", "/cronjob/", HTTP),
        "deleted": client.ask("POST", "/cronjob/", HTTP),
        "foreign": other.ask("POST", "/cronjob/", HTTP),
    }
    placeholders: dict[str, str] = {name: answer.response["cronjob_id"] for name, answer in created.items()}
    assert client.ask("DELETE", f"/cronjob/{placeholders['deleted']}/").status == 200
    placeholders["cursor"] = client.ask("GET", "/cronjobs/?limit=1").json["next_cursor"]
    placeholders["key"] = client.api_key
    return placeholders

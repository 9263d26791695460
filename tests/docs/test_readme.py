"""The README's examples are run as they stand, against the real server; what they cannot know (the port, whose keys)
is put in their place, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cronally.client import DEFAULT_URL
from cronally.clock.timetable import timetable
from cronally.instants import DAY, format_iso, parse_iso
from cronally.server import environment
from tests.docs.account import Account
from tests.docs.conftest import NOWHERE
from tests.docs.markdown import ROOT, read, rows
from tests.support.aws import LocalAws
from tests.support.cronally_server import CronallyServer, cronally_server
from tests.support.installed import need
from tests.support.secret_file import write_secret

README = read(ROOT / "README.md")
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOPIC = "arn:aws:sns:us-east-1:123456789012:reports"


def commands(block: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, comments left out."""
    for line in block.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def form_of_curl(arguments: list[str]) -> str:
    """The body that curl makes of these options: `-d` as it stands, `--data-urlencode` with its value encoded."""
    parts = []
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        assert option in ("-d", "--data-urlencode")
        name, _, text = value.partition("=")
        parts.append(f"{name}={quote(text, safe='')}" if option == "--data-urlencode" else value)
    return "&".join(parts)


def check_curl_answers(listed: list[dict[str, Any]], created: dict[str, Any]) -> None:
    """What the last two requests of the curl example answer."""
    assert created["name"] == "report"
    assert created["cron"] == "0 8 * * *"
    assert created["sns_topic"] == TOPIC
    assert created["sns_message"] == "hello"
    assert "sns_secret_access_key" not in created
    assert listed == [{**created, "health": "new"}]


def test_curl_example__read_in_python(server: CronallyServer) -> None:
    """The requests of the example, signed as its text says, without bash, curl and openssl."""
    block = README.block("signed()").text
    assert (
        'printf %s "$signed_path$method$date" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$hex' in block
    )
    assert "date=$(date -u +%Y%m%d%H%M)" in block
    for name in ("X-Cron-Key: $KEY", "X-Cron-Date: $date", "X-Cron-Signature: $signature"):
        assert f'-H "{name}"' in block

    account = Account(server.url)
    signup = re.search(r"\$\(curl -s (.*) \$URL/account/\)", block)
    assert signup
    body = form_of_curl(shlex.split(signup[1].replace("$RANDOM", "python")))
    answer = account.sign_up_with(body)
    assert answer.status == 200, answer.body
    assert answer.json["response"]["email"] == "you+python@example.com"
    answers = []
    for words in commands(block[block.index("}\n") + 2 :]):
        assert words[0] == "signed"
        method, path, *arguments = words[1:]
        answer = account.ask(method, path, form_of_curl(arguments) if arguments else None)
        assert answer.status == 200, answer.body
        answers.append(answer.json["response"])
    created, listed = answers
    check_curl_answers(listed, created)


@pytest.mark.slow  # not for its time: it needs curl and openssl, which `make test` must do without
def test_curl_example__run_by_bash(server: CronallyServer) -> None:
    need("bash", "curl", "openssl")
    block = README.block("signed()").text
    assert f"URL={DEFAULT_URL}\n" in block
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace(DEFAULT_URL, server.url)],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    decoder = json.JSONDecoder()
    created, end = decoder.raw_decode(done.stdout)
    listed, end = decoder.raw_decode(done.stdout, end)
    assert done.stdout[end:].strip() == ""
    assert created["status"] == listed["status"] == "success"
    check_curl_answers(listed["response"], created["response"])


def test_install_example__is_what_there_is() -> None:
    install, serve = commands(README.block("pip install").text)
    extra = re.fullmatch(r"\.\[(\w+)\]", install[2])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert install[:2] == ["pip", "install"]
    assert extra
    assert extra[1] in project["optional-dependencies"]
    assert serve == ["cronally", "serve"]
    defaults = environment.read_settings()
    assert f"http://{defaults.host}:{defaults.port}" == DEFAULT_URL
    assert defaults.database_url.get_secret_value() == "sqlite:///cronally.db"


def test_install_example__documentation_is_at_docs(server: CronallyServer) -> None:
    answer = Account(server.url).ask("GET", "/docs", signed=False)
    assert answer.status == 200
    assert b"<!doctype html>" in answer.body


def test_cli_example__runs(tmp_path: Path) -> None:
    with cronally_server(tmp_path, {"AWS_ENDPOINT_URL_SNS": NOWHERE}) as server:
        outputs: dict[str, str] = {}
        cronjob_id = ""
        for words in commands(README.block("cronally signup").text):
            assert words[0] == "cronally"
            arguments = words[1:]
            # At a terminal it is asked for; here there is none.
            done = server.cli(*arguments, env={"CRONALLY_SNS_SECRET_ACCESS_KEY": SECRET})
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            outputs[words[1]] = done.stdout
            if words[1] == "add":
                cronjob_id = json.loads(server.cli("list", "--json").stdout)["response"][0]["cronjob_id"]
        assert set(outputs) == {"signup", "add", "list", "firings", "pause", "next"}
        assert cronjob_id in outputs["list"]
        assert len(re.findall(r" 08:00:00 ", outputs["next"])) == 5
        credentials = tmp_path / ".config" / "cronally" / "credentials"
        assert credentials.stat().st_mode & 0o777 == 0o600


def test_cli_example__asks_for_the_secret_without_a_terminal(server: CronallyServer) -> None:
    add = next(words for words in commands(README.block("cronally signup").text) if words[1] == "add")
    assert "--sns-secret-access-key" not in add
    done = server.cli(*add[1:])
    assert done.returncode != 0
    assert done.stdout == ""


def test_dialects__are_accepted() -> None:
    """Each example of the table, by the timetable, and each anchor that it links to."""
    table = [row for row in rows(README.section("What it accepts")) if len(row) == 3 and "](" in row[0]]
    assert len(table) >= 4
    for row in table:
        for expression in re.findall(r"`([^`]+)`", row[1]):
            assert timetable(expression, key="an id", anchor=0).next(0) is not None


def test_changes_of_the_clock__are_as_the_table_says() -> None:
    table = [row for row in rows(README.section("What it accepts")) if row[1].startswith("fires ")]
    days = {"8 March": "2026-03-08", "1 November": "2026-11-01"}
    checked = 0
    for expression, default, choices in table:
        said = re.search(r"fires on (8 March|1 November) at", default)
        if said is None:
            assert "both days" in default
            continue
        midnight = parse_iso(f"{days[said[1]]}T05:00:00Z")
        cases = [("", default), *re.findall(r"`(dst_[a-z]+=[a-z]+)`: ([^;]+)", choices)]
        for choice, expected in cases:
            policy = dict([choice.split("=")]) if choice else {}
            times = timetable(expression.strip("`"), "America/New_York", **policy)
            fired, at = [], times.next(midnight)
            while at is not None and at < midnight + DAY // 2:
                fired.append(format_iso(at)[11:16] + "Z")
                at = times.next(at)
            assert fired == (
                ["05:30Z", "06:30Z"] if "both" in expected else re.findall(r"[0-9:]{5}Z", expected)
            )
            checked += 1
    assert checked == 6


def test_preview_and_why_examples__run(tmp_path: Path) -> None:
    preview, why = commands(README.block("cronally why").text)
    with cronally_server(tmp_path, {"AWS_ENDPOINT_URL_SNS": NOWHERE}) as server:
        server.cli("signup", "you@example.com")
        add = next(words for words in commands(README.block("cronally signup").text) if words[1] == "add")
        server.cli(*add[1:], env={"CRONALLY_SNS_SECRET_ACCESS_KEY": SECRET})
        foretold = server.cli(*preview[1:])
        assert "suppressed; dst_overlap=first" in foretold.stdout
        told = server.cli(*why[1:])
        assert told.returncode == 0, told.stderr
        assert told.stdout.strip()


def test_python_example__runs(server: CronallyServer, account: Account) -> None:
    blocks = [block.text for block in README.blocks if block.language == "python"]
    assert len(blocks) == 1
    assert DEFAULT_URL in blocks[0]
    names = {
        "api_key": account.api_key,
        "api_secret": account.api_secret,
        "secret_access_key": SECRET,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(blocks[0].replace(DEFAULT_URL, server.url), "README.md", "exec"), names)  # noqa: S102
    made = account.ask("GET", "/cronjobs/").json["response"]
    assert [cronjob["name"] for cronjob in made] == ["report"]
    assert names["cronjob"].cronjob_id == made[0]["cronjob_id"]  # type: ignore[attr-defined]


def test_python_example__prints_what_there_is_to_print(server: CronallyServer, account: Account) -> None:
    """The attributes that its loop reads are those of a firing."""
    from cronally.client import Firing

    block = next(block.text for block in README.blocks if block.language == "python")
    read_ = set(re.findall(r"firing\.(\w+)", block))
    assert read_
    assert read_ <= set(Firing.__dataclass_fields__)


def exports(block: str) -> dict[str, str]:
    """The variables that a shell block exports."""
    return dict(word.split("=", 1) for words in commands(block) if words[0] == "export" for word in words[1:])


def test_postgres_example__runs(tmp_path: Path, postgres_url: str) -> None:
    block = README.block("export CRONALLY_DATABASE_URL").text
    assert list(commands(block))[-1] == ["cronally", "serve"]
    given = exports(block)
    keys = write_secret(tmp_path / "sealing-keys", made_by_the_guide())
    token = write_secret(tmp_path / "signup-token", "a token of the operator\n")
    put: Mapping[str, str] = {
        "CRONALLY_DATABASE_URL": postgres_url,
        "CRONALLY_SEALING_KEYS_FILE": str(keys),
        "CRONALLY_SIGNUP_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL_SNS": NOWHERE,
    }
    # The server of the test listens on loopback all the same: its arguments come before the variable.
    with cronally_server(tmp_path, {**given, **put}) as server:
        stranger = Account(server.url)
        assert stranger.sign_up("somebody@example.com").status == 401
        assert (
            stranger.sign_up("somebody@example.com", X_Cronally_Signup_Token="a token of the operator").status
            == 200
        )


def made_by_the_guide() -> str:
    """The sealing key that the command of the guide prints."""
    words = next(commands(read(ROOT / "docs/guides/cluster.md").block("os.urandom(32)").text))
    assert words[:2] == ["python3", "-c"]
    return subprocess.run(
        [sys.executable, *words[1:]], capture_output=True, text=True, check=True, timeout=30
    ).stdout


def test_policy_example__lets_publish_on_one_topic(aws: LocalAws) -> None:
    policy = json.loads(next(block.text for block in README.blocks if block.language == "json"))
    (statement,) = policy["Statement"]
    assert policy["Version"] == "2012-10-17"
    assert statement["Resource"] == TOPIC
    topic, other = aws.make_topic(), aws.make_topic()
    keys = aws.make_user({**statement, "Resource": topic.arn})
    sns = aws.client("sns", keys)
    sns.publish(TopicArn=topic.arn, Message="hello")
    assert [received.message for received in topic.receive()] == ["hello"]
    with pytest.raises(sns.exceptions.ClientError, match=r"AccessDenied|AuthorizationError"):
        sns.publish(TopicArn=other.arn, Message="hello")


def test_make_targets__that_documents_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE))
        assert named <= targets, path

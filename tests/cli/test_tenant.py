"""The tenant's commands against the real API."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import Result

from cronally import Client
from cronally.client import Account
from cronally.contract.sns import MAX_SNS_MESSAGE
from cronally.contract.writing import from_json
from cronally.errors import RateLimited
from cronally.instants import MINUTE
from tests.api.serving import Api
from tests.api.serving import Client as WireClient
from tests.cli.conftest import Run
from tests.support.api_database import EIGHT, add_deliveries, add_refusal, secret_of
from tests.support.relay import Relay, failure, success, unused_url

TOPIC = "arn:aws:sns:eu-central-1:123456789012:report"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SNS = ("--sns-topic", TOPIC, "--sns-message", "hello", "--sns-access-key-id", "AKIAIOSFODNN7EXAMPLE")
ADD = ("add", "--name", "report", "--cron", "0 8 * * *", *SNS)

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def cronjob(account: Account, relay: Relay, run: Run) -> dict[str, Any]:
    cronjob: dict[str, Any] = response(run(*ADD, "--sns-secret-access-key", SECRET, "--json"))
    relay.requests.clear()
    return cronjob


def response(result: Result) -> Any:
    return json.loads(result.stdout)["response"]


def secrets_of(api: Api, client: Client) -> list[str]:
    """The secret access keys of the account's cron jobs, as the server has them."""
    return [secret_of(api, job.cronjob_id)["sns_secret_access_key"] for job in client.iter_cronjobs()]


def test_add__sends_everything_and_shows_the_cron_job(run: Run, relay: Relay, client: Client) -> None:
    result = run(*ADD, "--sns-secret-access-key", SECRET, "--catch-up", "skip", "--misfire-grace", "1h")
    assert relay.last.form() == {
        "name": "report",
        "cron": "0 8 * * *",
        "sns_topic": TOPIC,
        "sns_message": "hello",
        "sns_region": "eu-central-1",
        "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "sns_secret_access_key": SECRET,
        "catch_up": "skip",
        "misfire_grace": "1h",
    }
    (job,) = client.cronjobs()
    assert job.cronjob_id in result.stdout
    assert f"{job.next_fire_at:%Y-%m-%d} 08:00:00" in result.stdout
    assert SECRET not in result.output


def test_add__json_is_the_answer_as_it_is(run: Run, api: Api, account: Account) -> None:
    result = run(*ADD, "--sns-secret-access-key", SECRET, "--sns-region", "eu-central-1", "--json")
    tenant = WireClient(api, account.api_key, account.api_secret)
    (job,) = tenant.ask("GET", "/cronjobs/").response
    assert job.pop("health") == "new"
    assert json.loads(result.stdout) == {"status": "success", "response": job}
    assert result.stdout.count("\n") == 1
    assert job["sns_region"] == "eu-central-1"


def test_add__the_region_of_the_option_goes_before_that_of_the_topic(run: Run, relay: Relay) -> None:
    run(*ADD, "--sns-secret-access-key", SECRET, "--sns-region", "us-east-1", status=1)
    assert relay.last.form()["sns_region"] == "us-east-1"


def test_add__http_delivery_asks_for_no_secret(run: Run, relay: Relay) -> None:
    result = run(
        "add", "--name", "ping", "--cron", "*/5 * * * *",
        "--delivery-http-url", "https://example.com/hook", "--delivery-http-method", "post",
    )  # fmt: skip
    assert relay.last.form() == {
        "name": "ping",
        "cron": "*/5 * * * *",
        "delivery_type": "http",
        "delivery_http_url": "https://example.com/hook",
        "delivery_http_method": "post",
    }
    assert "POST https://example.com/hook" in result.stdout


HOOK = ("--name", "ping", "--cron", "*/5 * * * *", "--delivery-http-method", "post")
HIDDEN = "https://***@example.com/hook?token=***&chat=***"
WHOLE = f"https://user:{SECRET.replace('/', '%2F')}@example.com/hook?token={SECRET}&chat={SECRET}"


def test_add__a_url_with_secrets_from_a_file_is_shown_without_them(
    run: Run, relay: Relay, api: Api, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(f"{WHOLE}\n")
    marked = ("--delivery-http-secret-parts", "chat,token")
    added = run("add", *HOOK, "--delivery-http-url-file", str(tmp_path / "url"), *marked)
    assert relay.last.form()["delivery_http_url"] == WHOLE
    (cronjob,) = client.iter_cronjobs()
    listed, shown = run("list"), run("show", cronjob.cronjob_id)
    assert HIDDEN in shown.stdout
    assert "  example.com/hook?token=***&chat=***\n" in listed.stdout
    given = response(run("show", cronjob.cronjob_id, "--json"))
    assert given["delivery_http_url"] == HIDDEN
    back = ("--delivery-http-url", given["delivery_http_url"], "--delivery-http-method", "get")
    changed = run("update", cronjob.cronjob_id, *back)
    moved = run(
        "update",
        cronjob.cronjob_id,
        "--delivery-http-url",
        HIDDEN.replace("example.com", "b.example"),
        status=1,
    )
    assert "delivery_http_url: holds ***" in moved.stderr
    unmarked = run("update", cronjob.cronjob_id, "--delivery-http-secret-parts", "token", status=2)
    assert unmarked.stderr.startswith(
        "error: --delivery-http-url is needed with new --delivery-http-secret-parts; give it whole, with its secrets: "
    )
    assert secret_of(api, cronjob.cronjob_id) == {"delivery_http_url": WHOLE}
    for result in (added, listed, shown, changed, moved, unmarked):
        assert SECRET not in result.output


def test_add__idempotency_key_makes_one_of_two(run: Run, client: Client) -> None:
    for _ in range(2):
        run(*ADD, "--sns-secret-access-key", SECRET, "--idempotency-key", "deploy-7")
    assert len(client.cronjobs()) == 1


def test_add__secret_from_a_file(run: Run, api: Api, client: Client, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    run(*ADD, "--sns-secret-access-key-file", str(tmp_path / "secret"))
    run(*ADD, "--sns-secret-access-key-file", "-", input=f"  {SECRET}\r\n")
    assert secrets_of(api, client) == [SECRET, SECRET]


def test_add__secret_from_the_environment(
    run: Run, api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONALLY_SNS_SECRET_ACCESS_KEY", SECRET)
    run(*ADD)
    run(*ADD, "--sns-secret-access-key", "other")
    assert secrets_of(api, client) == [SECRET, "other"], "the option goes before the variable"


def test_add__aws_own_variables_are_not_read(run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    result = run(*ADD, status=2)
    assert "CRONALLY_SNS_SECRET_ACCESS_KEY" in result.stderr
    assert relay.requests == []


def test_add__message_from_a_file_is_sent_exactly(run: Run, client: Client, tmp_path: Path) -> None:
    message = '{"text": "grüße & 100%+1 = ?"}\n\n'
    (tmp_path / "message").write_text(message)
    base = tuple(part for part in ADD if part not in ("--sns-message", "hello"))
    run(*base, "--sns-message-file", str(tmp_path / "message"), "--sns-secret-access-key", SECRET)
    run(*base, "--sns-message-file", "-", "--sns-secret-access-key", SECRET, input=message)
    assert [job.sns_message for job in client.iter_cronjobs()] == [message, message]


def test_add__a_byte_order_mark_is_no_part_of_a_file(
    run: Run, api: Api, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "message").write_bytes(codecs.BOM_UTF8 + b'{"a": 1}\r\n')
    (tmp_path / "secret").write_bytes(codecs.BOM_UTF8 + SECRET.encode() + b"\r\n")
    base = tuple(part for part in ADD if part not in ("--sns-message", "hello"))
    files = (
        "--sns-message-file",
        str(tmp_path / "message"),
        "--sns-secret-access-key-file",
        str(tmp_path / "secret"),
    )
    assert run(*base, *files).stderr == ""
    assert [job.sns_message for job in client.iter_cronjobs()] == ['{"a": 1}\r\n']
    assert secrets_of(api, client) == [SECRET]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{}".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + "{}".encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
        (b"", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
    ],
)
def test_add__message_file_that_is_no_text(
    run: Run, relay: Relay, tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "message").write_bytes(content)
    base = tuple(part for part in ADD if part not in ("--sns-message", "hello"))
    file = ("--sns-message-file", str(tmp_path / "message"))
    result = run(*base, *file, "--sns-secret-access-key", SECRET, status=2)
    assert expected in result.stderr
    assert relay.requests == []


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_add__warnings_of_the_server_go_to_stderr(run: Run, client: Client, options: tuple[str, ...]) -> None:
    http = ("--delivery-http-method", "post", "--delivery-http-url", "https://nothing.invalid/")
    result = run("add", "--name", "x", "--cron", "* * * * *", *http, *options)
    assert result.stderr.startswith("warning: The host of delivery_http_url does not resolve now")
    assert result.stderr.count("\n") == 1
    (cronjob,) = client.iter_cronjobs()
    assert cronjob.warnings is None
    changed = client.update_cronjob(cronjob.cronjob_id, delivery_http_url="https://nothing.invalid/b")
    assert [text.partition(" ")[0] for text in changed.warnings or ()] == ["The"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sns-secret-access-key", "a", "--sns-secret-access-key-file", "-"), "not both"),
        (("--sns-secret-access-key-file", "/nowhere"), "cannot read /nowhere: No such file or directory"),
        (("--sns-secret-access-key-file", "-"), "stdin is empty"),
        (("--sns-secret-access-key-file", "/proc/cpuinfo"), "it holds one line"),
        (("--sns-secret-access-key-file", "/dev/null"), "/dev/null is empty"),
        (("--sns-message-file", "-"), "not both"),
        (("--sns-secret-access-key-file", "/dev/zero"), "has more than 4,096 bytes; give 4,096 at most"),
        (
            ("--delivery-http-url", "https://example.com/"),
            "--delivery-http-url: it is for --delivery-type http, not sns",
        ),
        (("--delivery-type", "http"), "--sns-topic: it is for --delivery-type sns, not http"),
        (("--catch-up", "never"), "--catch-up"),
        (("--delivery-type", "smoke"), "--delivery-type"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_add__wrong_usage(run: Run, relay: Relay, arguments: tuple[str, ...], message: str) -> None:
    result = run(*ADD, *arguments, input="", status=2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert relay.requests == []


@pytest.mark.parametrize("missing", ["--sns-topic", "--sns-message", "--sns-access-key-id"])
def test_add__what_is_missing_is_named_before_a_secret_is_asked_for(run: Run, missing: str) -> None:
    position = ADD.index(missing)
    result = run(*ADD[:position], *ADD[position + 2 :], status=2)
    assert f"Missing option {missing}: it is needed for --delivery-type sns" in result.stderr
    assert "Hint: cronally add --help" in result.stderr


def test_add__all_that_is_missing_is_named(run: Run) -> None:
    result = run("add", "--name", "x", "--cron", "* * * * *", "--delivery-type", "http", status=2)
    assert result.stderr == (
        "error: Missing options --delivery-http-method, --delivery-http-url: they are needed for"
        " --delivery-type http. Hint: cronally add --help\n"
    )
    result = run("add", "--name", "x", "--cron", "* * * * *", status=2)
    assert "options --sns-topic, --sns-message, --sns-access-key-id: they are" in result.stderr
    assert "for --delivery-type sns, which is the default" in result.stderr


def test_add__message_and_secret_cannot_both_be_stdin(run: Run) -> None:
    base = tuple(part for part in ADD if part not in ("--sns-message", "hello"))
    result = run(*base, "--sns-message-file", "-", "--sns-secret-access-key-file", "-", input="x", status=2)
    assert "stdin cannot be both" in result.stderr


def test_add__a_wrong_expression_is_explained(run: Run) -> None:
    result = run(
        "add",
        "--name",
        "x",
        "--cron",
        "61 8 * * *",
        "--delivery-http-url",
        "https://a",
        "--delivery-http-method",
        "get",
        status=1,
    )
    assert result.stderr.startswith(
        'error: cron: "61" is out of range for minute (0-59) at column 1. Hint: try it out'
    )
    assert result.stdout == ""


def test_list__shows_ids_and_fire_times(run: Run, cronjob: dict[str, Any]) -> None:
    result = run("list")
    assert cronjob["cronjob_id"] in result.stdout
    assert "report" in result.stdout
    assert cronjob["next_fire_at"][:16].replace("T", " ") in result.stdout
    assert json.loads(run("list", "--json").stdout) == {
        "status": "success",
        "response": [{**cronjob, "health": "new"}],
    }
    (counted,) = response(run("list", "--json", "--counts"))
    assert counted["counts_7d"]["delivered"] == 0


def test_list__of_nothing_says_so(run: Run) -> None:
    assert "There are no cron jobs" in run("list").stdout
    assert json.loads(run("list", "--json").stdout)["response"] == []


def test_list__page_by_page(run: Run) -> None:
    for number in range(3):
        run(*ADD, "--name", f"job-{number}", "--sns-secret-access-key", SECRET)
    result = run("list", "--limit", "2")
    assert "job-1" in result.stdout
    assert "job-2" not in result.stdout
    cursor = json.loads(run("list", "--limit", "2", "--json").stdout)["next_cursor"]
    assert result.stderr == f"note: there is more: add --cursor {cursor}\n"
    assert "job-2" in run("list", "--limit", "2", "--cursor", cursor).stdout


def test_show__and_what_is_not_there(run: Run, cronjob: dict[str, Any]) -> None:
    assert TOPIC in run("show", cronjob["cronjob_id"]).stdout
    shown = response(run("show", cronjob["cronjob_id"], "--json"))
    assert shown.pop("counts_24h")
    assert shown.pop("counts_7d")
    assert shown == {**cronjob, "health": "new"}
    result = run("show", "0000", status=1)
    assert result.stderr == (
        "error: there is no such cron job: 0000 is no name and begins no id."
        " Hint: `cronally list` shows the cron jobs; a deleted one is found by its whole id\n"
    )
    result = run("show", str(uuid4()), status=1)
    assert result.stderr == (
        "error: There is no such cron job. Hint: `cronally list` shows the cron jobs and their ids\n"
    )
    assert "no such cron job" in run("show", "../account", status=1).stderr


def test_update__sends_only_what_changes(
    run: Run, relay: Relay, cronjob: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONALLY_SNS_SECRET_ACCESS_KEY", "canary")
    assert "other" in run("update", cronjob["cronjob_id"], "--name", "other").stdout
    assert relay.last.form() == {"name": "other"}, "a secret goes only with its access key id"
    run("update", cronjob["cronjob_id"], "--sns-access-key-id", "AKIAIOSFODNN7ANOTHER")
    assert relay.last.form() == {
        "sns_access_key_id": "AKIAIOSFODNN7ANOTHER",
        "sns_secret_access_key": "canary",
    }
    run("update", cronjob["cronjob_id"], "--sns-topic", TOPIC.replace("eu-central-1", "us-west-2"))
    assert relay.last.form()["sns_region"] == "us-west-2"
    assert "give at least one option" in run("update", cronjob["cronjob_id"], status=2).stderr


def test_delete__without_a_terminal_needs_yes(run: Run, client: Client, cronjob: dict[str, Any]) -> None:
    refused = run("delete", cronjob["cronjob_id"], status=1)
    assert refused.stderr == (
        "error: nothing was deleted: there is no terminal to ask at. Hint: --yes deletes without asking\n"
    )
    assert client.cronjob(cronjob["cronjob_id"]).state == "active"
    assert run("delete", cronjob["cronjob_id"], "-y").stdout == (
        f"Cron job 'report' deleted.\nIts ledger: cronally firings {cronjob['cronjob_id']}\n"
    )
    assert len(client.cronjobs()) == 0
    run("delete", cronjob["cronjob_id"], "--yes", status=1)


def test_delete__json(run: Run, cronjob: dict[str, Any]) -> None:
    answer = json.loads(run("delete", cronjob["cronjob_id"], "--yes", "--json").stdout)
    assert answer["response"]["deleted"] is True


def test_firings__of_one_of_all_and_of_a_deleted_one(
    run: Run, relay: Relay, api: Api, cronjob: dict[str, Any]
) -> None:
    assert "The ledger holds no firings yet." in run("firings").stdout
    ids = cronjob["account_id"], cronjob["cronjob_id"]
    add_deliveries(api, *ids, 2)
    add_refusal(api, *ids, EIGHT + 2 * MINUTE, "NotFound: no such topic")
    shown = run("firings", cronjob["cronjob_id"]).stdout
    assert "2026-11-24 08:02:00" in shown
    assert "target_refused: NotFound: no such topic" in shown
    assert "message-1" in shown
    assert cronjob["cronjob_id"] in run("firings").stdout
    cursor = json.loads(run("firings", "--limit", "2", "--json").stdout)["next_cursor"]
    assert run("firings", "--limit", "2").stderr == f"note: there is more: add --cursor {cursor}\n"
    run("delete", cronjob["cronjob_id"], "--yes")
    relay.requests.clear()
    of_deleted = run("firings", cronjob["cronjob_id"])
    assert of_deleted.stdout == shown
    assert of_deleted.stderr == (
        f"note: the cron job {cronjob['cronjob_id']} is deleted; its ledger stays readable\n"
    )
    answer = response(run("firings", cronjob["cronjob_id"], "--json"))
    assert len(answer) == 3
    assert "There is no such cron job" in run("firings", str(uuid4()), status=1).stderr
    never_fired = response(run(*ADD, "--sns-secret-access-key", SECRET, "--json"))["cronjob_id"]
    run("delete", never_fired, "--yes")
    result = run("firings", never_fired)
    assert result.stdout == "The ledger holds no firings yet.\n"
    assert f"{never_fired} is deleted" in result.stderr
    assert "there is no such cron job" in run("firings", "0000", status=1).stderr


def test_why__explains_one_instant(run: Run, relay: Relay, api: Api) -> None:
    add = (*ADD, "--timezone", "Europe/Berlin", "--sns-secret-access-key", SECRET, "--json")
    cronjob = response(run(*add))
    cronjob_id = cronjob["cronjob_id"]
    add_deliveries(api, cronjob["account_id"], cronjob_id, 1)
    result = run("why", cronjob_id, "2026-11-24T08:00:00Z")
    assert relay.last.path == f"/cronjob/{cronjob_id}/explain/?at=2026-11-24T08%3A00%3A00Z"
    answer = response(run("why", cronjob_id, "2026-11-24T08:00:00Z", "--json"))
    assert answer["finding"] == "delivered"
    assert result.stdout.startswith(f"{answer['sentence']}\n")
    for part in ("2026-11-24 09:00:00+01:00", "delivered", "message-0", "Attempt 1", "HTTP 503", "Attempt 2"):
        assert part in result.stdout
    nothing = run("why", cronjob_id, "2030-11-24T10:00:00+01:00").stdout
    assert relay.last.query() == {"at": "2030-11-24T10:00:00+01:00"}
    answer = response(run("why", cronjob_id, "2030-11-24T10:00:00+01:00", "--json"))
    assert (answer["finding"], answer["firing"]) == ("no_fire_time", None)
    assert nothing.startswith(f"{answer['sentence']}\n")
    relay.script.append(success({**answer, "sentence": "Not a fire time: \x1b[2J."}))
    shown = run("why", cronjob_id, "2030-11-24T10:00:00+01:00").stdout
    assert shown.startswith("Not a fire time: \N{REPLACEMENT CHARACTER}[2J.")
    assert "no such cron job" in run("why", "0000", "2026-11-24T08:00:00Z", status=1).stderr
    assert "an instant is written like" in run("why", cronjob_id, "noon", status=2).stderr


def test_why__takes_a_local_time(run: Run, relay: Relay) -> None:
    add = (*ADD, "--timezone", "Europe/Berlin", "--sns-secret-access-key", SECRET, "--json")
    cronjob_id = response(run(*add))["cronjob_id"]
    for local in ("2030-11-24T10:00", "2030-11-24 10:00:00"):
        answer = response(run("why", cronjob_id, local, "--json"))
        assert (answer["at"], answer["local"]) == ("2030-11-24T09:00:00Z", "2030-11-24T10:00:00+01:00")
    assert "2030-10-27T02:30:00+02:00" in run("why", cronjob_id, "2030-10-27T02:30", status=1).stderr
    sent = len(relay.requests)
    assert "no such day" in run("why", cronjob_id, "2030-11-31T10:00", status=2).stderr
    assert len(relay.requests) == sent


def test_add__a_message_file_has_the_limit_of_a_message(run: Run, relay: Relay, tmp_path: Path) -> None:
    """One limit, whether the message is an option or in a file, and whoever says so."""
    arguments = [*ADD, "--sns-secret-access-key", SECRET]
    place = arguments.index("--sns-message")
    del arguments[place : place + 2]
    file = tmp_path / "message"
    file.write_text("x" * (MAX_SNS_MESSAGE + 1))
    refused = run(*arguments, "--sns-message-file", str(file), status=2).stderr
    assert f"has more than {MAX_SNS_MESSAGE:,} bytes; give {MAX_SNS_MESSAGE:,} at most" in refused
    assert relay.requests == []


def test_zone_and_policies__are_sent_and_shown(run: Run, relay: Relay, client: Client) -> None:
    policies = ("--timezone", "Europe/Berlin", "--dst-gap", "shift", "--dst-overlap", "last")
    shown = run(*ADD, "--sns-secret-access-key", SECRET, *policies).stdout
    sent = {"timezone": "Europe/Berlin", "dst_gap": "shift", "dst_overlap": "last"}
    assert sent.items() <= relay.last.form().items()
    assert "Europe/Berlin" in shown
    assert "dst_gap=shift dst_overlap=last" in shown
    cronjob_id = next(client.iter_cronjobs()).cronjob_id
    run("update", cronjob_id, "--timezone", "UTC", "--dst-gap", "default")
    assert relay.last.form() == {"timezone": "UTC", "dst_gap": "default"}


def test_account__hides_the_secret_unless_asked(run: Run, account: Account) -> None:
    result = run("account")
    assert account.email in result.stdout
    assert account.api_secret not in result.output
    assert account.api_secret in run("account", "--show-secret").stdout
    assert account.api_secret not in run("account", "--json").output
    assert "api_secret" not in response(run("account", "--json"))
    assert from_json(Account, response(run("account", "--json", "--show-secret"))) == account


def test_errors__wrong_keys_point_at_keys_and_clock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_API_SECRET", "d3Jvbmc=")
    result = run("list", status=1)
    assert "the server does not know this API key with this secret" in result.stderr
    assert "The server's clock says 20" in result.stderr
    assert "Check the profile or CRONALLY_URL, CRONALLY_API_KEY" in result.stderr
    assert "X-Cron" not in result.stderr  # advice for a program
    monkeypatch.setenv("CRONALLY_API_SECRET", "canary!")
    result = run("list", status=1)
    assert "canary" not in result.output


def test_list__without_a_match_does_not_say_that_there_are_none(run: Run, cronjob: dict[str, Any]) -> None:
    assert run("list", "--state", "completed").stdout == "No cron job is like that.\n"
    assert run("list", "--name", cronjob["name"]).stdout.count(cronjob["cronjob_id"]) == 1


def test_errors__nobody_answers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = unused_url()
    monkeypatch.setenv("CRONALLY_URL", url)
    result = run("list", status=1)
    assert result.stderr.startswith(f"error: {url} does not answer: ")
    assert "check the URL and that the server is running" in result.stderr
    assert result.stderr.count("\n") == 1


def test_errors__plain_http_to_another_machine_warns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_URL", "http://0.0.0.0:1")
    result = run("list", status=1)
    assert result.stderr.startswith("warning: http://0.0.0.0:1 is plain http to another machine")


@pytest.mark.usefixtures("cronjob")
def test_errors__what_a_server_says_cannot_steer_the_terminal(run: Run, relay: Relay) -> None:
    relay.script.append(failure(400, "invalid_request", "x", {"a\x1b[2J": "one\ntwo\x07 \x9b31m\u202e"}))
    result = run("list", status=1)
    assert result.stderr == "error: a�[2J: one two� �31m�\n"
    (job,) = response(run("list", "--json"))
    hostile = {**job, "name": "\x1b]0;x\x07[red]"}
    relay.script.append(
        success([{**hostile, "state": "\x1b[0m", "sns_topic": "a\nb"}], next_cursor="\x1b[2J")
    )
    output = run("list").output
    assert "\x1b" not in output
    assert "[red]" in output
    relay.script.append(success([hostile]))
    assert "\x1b" not in run("list", "--json").output


def test_wrong_address__says_what_to_check(
    run: Run, relay: Relay, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONALLY_URL", f"{relay.url}/api")
    assert "check the server's URL, in CRONALLY_URL or the profile" in run("list", status=1).stderr


def test_method__may_be_written_large(run: Run, client: Client) -> None:
    http = (
        "--delivery-type",
        "http",
        "--delivery-http-url",
        "https://example.com/",
        "--delivery-http-method",
        "POST",
    )
    added = json.loads(run("add", "--name", "hook", "--cron", "0 8 * * *", *http, "--json").stdout)
    assert added["response"]["delivery_http_method"] == "post"


def test_cronjob__may_be_meant_by_its_name_or_by_what_only_its_id_begins_with(
    run: Run, client: Client, cronjob: dict[str, Any]
) -> None:
    cronjob_id = cronjob["cronjob_id"]
    for meant in ("report", cronjob_id[:8], cronjob_id[:9].upper(), cronjob_id[:-1], cronjob_id.upper()):
        assert response(run("show", meant, "--json"))["cronjob_id"] == cronjob_id
    assert response(run("update", "report", "--name", "other", "--json"))["name"] == "other"
    for command in (
        ["firings", "other"],
        ["why", "other", "2026-11-24T08:00:00Z"],
        ["delete", "other", "--yes"],
    ):
        run(*command)
    assert client.cronjobs().items == ()
    # The ledger of a deleted one is found by its whole id.
    assert "no such cron job" in run("why", "other", "2026-11-24T08:00:00Z", status=1).stderr
    run("why", cronjob_id, "2026-11-24T08:00:00Z")


def test_cronjob__what_could_be_several_is_none(run: Run, client: Client, cronjob: dict[str, Any]) -> None:
    http = {
        "delivery_type": "http",
        "delivery_http_url": "https://example.com/",
        "delivery_http_method": "post",
    }
    twin = client.create_cronjob(name="report", cron="@daily", **http)  # type: ignore[arg-type]
    refused = run("delete", "report", "--yes", status=1).stderr
    assert f"report could be {cronjob['cronjob_id']} (report), {twin.cronjob_id} (report)" in refused
    # A name goes before the beginning of an id.
    named = client.create_cronjob(name=twin.cronjob_id[:6], cron="@daily", **http)  # type: ignore[arg-type]
    shown = run("show", twin.cronjob_id[:6], "--json")
    assert response(shown)["cronjob_id"] == named.cronjob_id
    said = (
        f"note: {twin.cronjob_id[:6]} is taken for the name of {named.cronjob_id};"
        f" it also begins the id of {twin.cronjob_id} (report)\n"
    )
    assert shown.stderr == said
    assert run("delete", twin.cronjob_id[:6], "--yes").stderr == said
    assert run("show", twin.cronjob_id[:6]).stderr == "", "now it begins an id, and is no name"
    assert run("show", twin.cronjob_id).stderr == ""
    for _ in range(16):  # so that two ids begin alike
        client.create_cronjob(name="many", cron="@daily", **http)  # type: ignore[arg-type]
    first = Counter(each.cronjob_id[0] for each in client.iter_cronjobs()).most_common(1)[0][0]
    assert f"{first} could be" in run("show", first, status=1).stderr
    several = run("show", "many", status=1).stderr
    assert several.count("(many)") == 5
    assert several.endswith(", and more. Hint: give its id\n")


@pytest.mark.parametrize("meant", ["x" * 257, "a\nb", "0b7e1d52_", "%", "é"])
def test_cronjob__that_can_be_meant_by_nothing(run: Run, cronjob: dict[str, Any], meant: str) -> None:
    assert "there is no such cron job" in run("show", meant, status=1).stderr


@pytest.mark.parametrize("command", [["show"], ["update"], ["verify"], ["delete", "--yes"], ["firings"]])
@pytest.mark.parametrize("meant", ["", " "])
def test_cronjob__that_is_empty(run: Run, relay: Relay, command: list[str], meant: str) -> None:
    options = ["--name", "x"] if command == ["update"] else []
    result = run(*command, meant, *options, status=2)
    assert result.stderr.startswith("error: CRONJOB is empty: give an id, the beginning of one, or a name")
    assert relay.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("next", "0", "8", "*", "*", "1"), 'as in cronally next "0 8 * * MON-FRI"; only "0" of it arrived'),
        (("next", "@every", "90s"), 'as in cronally next "0 8 * * MON-FRI"; only "@every" of it arrived'),
        ((*ADD, "--cron", "0", "8", "*"), 'as in --cron "0 8 * * MON-FRI"; only "0" of it arrived'),
        (("update", "x", "--cron", "0", "8"), 'as in --cron "0 8 * * MON-FRI"; only "0" of it arrived'),
        (("show", "my", "report"), "argument(s) (report); what has spaces in it has to be in quotes"),
    ],
)
def test_arguments__without_quotes(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments, status=2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("topic", ["reports", "arn:aws:sns::123456789012:report", ""])
@pytest.mark.parametrize("command", ["add", "update"])
def test_topic__that_is_no_arn(run: Run, relay: Relay, command: str, topic: str) -> None:
    rest = ("--sns-topic", topic, "--sns-secret-access-key", SECRET)
    result = run(*(ADD if command == "add" else ("update", "x")), *rest, status=2)
    assert f'--sns-topic: "{topic}" is not the topic\'s ARN, such as arn:aws:sns:' in result.stderr
    assert relay.requests == []


def test_errors__too_many_requests_say_once_when_to_come_again(run: Run, relay: Relay) -> None:
    relay.script += [failure(429, "rate_limited", RateLimited().message, {}, **{"Retry-After": "3600"})] * 3
    assert run("list", status=1).stderr == "error: Too many requests. Hint: try again in 3600 s\n"


def test_add__an_http_request_with_headers_and_a_body_from_a_file(
    run: Run, relay: Relay, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(codecs.BOM_UTF8 + b'{"a": "\xc3\xbc"}')
    request = ("--delivery-http-url", "https://example.com/hook", "--delivery-http-method", "Patch")
    result = run(
        "add", "--name", "ping", "--cron", "*/5 * * * *", *request,
        "--header", "X-Team: blue", "--delivery-http-headers", "Accept: text/csv",
        "--delivery-http-body-file", str(tmp_path / "body"), "--delivery-http-success", "2xx,404",
    )  # fmt: skip
    (cronjob,) = client.iter_cronjobs()
    assert cronjob.delivery_http_headers == {"Accept": "text/csv", "X-Team": "blue"}
    assert cronjob.delivery_http_body == '{"a": "ü"}'
    for shown in (
        "PATCH https://example.com/hook",
        "Accept: text/csv",
        "X-Team: blue",
        '{"a": "ü"}',
        "2xx, 404",
    ):
        assert shown in result.stdout
    refused = run("update", "ping", "--header", f"Authorization: {SECRET}", status=1)
    assert "looks like a secret" in refused.stderr
    assert SECRET not in refused.output
    run("update", "ping", "--header", "", "--delivery-http-body", "")
    changed = client.cronjob(cronjob.cronjob_id)
    assert (changed.delivery_http_headers, changed.delivery_http_body) == (None, None)


def test_run__with_a_body_of_its_own(run: Run, relay: Relay, client: Client) -> None:
    client.create_cronjob(
        name="ping",
        cron="0 8 * * *",
        delivery_type="http",
        delivery_http_url="https://example.com/hook",
        delivery_http_method="put",
        delivery_http_headers={"X-Team": "blue", "X-Line": "a: b"},
    )
    run("run", "ping", "--delivery-http-body", "once")
    assert relay.last.form() == {"delivery_http_body": "once"}
    (cronjob,) = client.iter_cronjobs()
    assert cronjob.delivery_http_headers == {"X-Line": "a: b", "X-Team": "blue"}
    client.update_cronjob(cronjob.cronjob_id, delivery_http_headers={})
    assert client.cronjob(cronjob.cronjob_id).delivery_http_headers is None

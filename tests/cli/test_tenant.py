"""The tenant's commands against a server that checks every signature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.client.stand_in import StandIn, failure, success, unused_url

TOPIC = "arn:aws:sns:eu-central-1:123456789012:report"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SNS = ("--sns-topic", TOPIC, "--sns-message", "hello", "--sns-access-key-id", "AKIAIOSFODNN7EXAMPLE")
ADD = ("add", "--name", "report", "--cron", "0 8 * * *", *SNS)

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def cronjob(stand_in: StandIn, run: Run) -> dict[str, Any]:
    run(*ADD, "--sns-secret-access-key", SECRET)
    stand_in.requests.clear()
    return next(iter(stand_in.cronjobs.values()))


def test_add__sends_everything_and_shows_the_cron_job(run: Run, stand_in: StandIn) -> None:
    result = run(*ADD, "--sns-secret-access-key", SECRET, "--catch-up", "skip", "--misfire-grace", "1h")
    assert stand_in.last.form == {
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
    assert next(iter(stand_in.cronjobs)) in result.stdout
    assert "2026-11-24 08:05:00" in result.stdout
    assert SECRET not in result.output


def test_add__json_is_the_answer_as_it_is(run: Run, stand_in: StandIn) -> None:
    result = run(*ADD, "--sns-secret-access-key", SECRET, "--sns-region", "us-east-1", "--json")
    (job,) = stand_in.cronjobs.values()
    assert json.loads(result.stdout) == {"status": "success", "response": job}
    assert result.stdout.count("\n") == 1
    assert job["sns_region"] == "us-east-1"


def test_add__http_delivery_asks_for_no_secret(run: Run, stand_in: StandIn) -> None:
    result = run(
        "add", "--name", "ping", "--cron", "*/5 * * * *",
        "--delivery-http-url", "https://example.com/hook", "--delivery-http-method", "post",
    )  # fmt: skip
    assert stand_in.last.form == {
        "name": "ping",
        "cron": "*/5 * * * *",
        "delivery_type": "http",
        "delivery_http_url": "https://example.com/hook",
        "delivery_http_method": "post",
    }
    assert "POST https://example.com/hook" in result.stdout


def test_add__idempotency_key_makes_one_of_two(run: Run, stand_in: StandIn) -> None:
    for _ in range(2):
        run(*ADD, "--sns-secret-access-key", SECRET, "--idempotency-key", "deploy-7")
    assert len(stand_in.cronjobs) == 1


def test_add__secret_from_a_file(run: Run, stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    run(*ADD, "--sns-secret-access-key-file", str(tmp_path / "secret"))
    run(*ADD, "--sns-secret-access-key-file", "-", input=f"  {SECRET}\r\n")
    assert list(stand_in.secrets.values()) == [SECRET, SECRET]


def test_add__secret_from_the_environment(
    run: Run, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONALLY_SNS_SECRET_ACCESS_KEY", SECRET)
    run(*ADD)
    run(*ADD, "--sns-secret-access-key", "other")
    assert list(stand_in.secrets.values()) == [SECRET, "other"], "what is said last counts"


def test_add__aws_own_variables_are_not_read(
    run: Run, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    result = run(*ADD, status=2)
    assert "CRONALLY_SNS_SECRET_ACCESS_KEY" in result.stderr
    assert stand_in.requests == []


def test_add__message_from_a_file_is_sent_exactly(run: Run, stand_in: StandIn, tmp_path: Path) -> None:
    message = '{"text": "grüße & 100%+1 = ?"}\n\n'
    (tmp_path / "message").write_text(message)
    base = tuple(part for part in ADD if part not in ("--sns-message", "hello"))
    run(*base, "--sns-message-file", str(tmp_path / "message"), "--sns-secret-access-key", SECRET)
    run(*base, "--sns-message-file", "-", "--sns-secret-access-key", SECRET, input=message)
    assert [job["sns_message"] for job in stand_in.cronjobs.values()] == [message, message]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sns-secret-access-key", "a", "--sns-secret-access-key-file", "-"), "not both"),
        (("--sns-secret-access-key-file", "/nowhere"), "cannot read /nowhere: No such file or directory"),
        (("--sns-secret-access-key-file", "-"), "it holds one line"),
        (("--sns-message-file", "-"), "not both"),
        (("--sns-secret-access-key-file", "/dev/zero"), "is longer than 4096 bytes"),
        (
            ("--delivery-http-url", "https://example.com/"),
            "--sns-topic: it is of no use for delivery by HTTP",
        ),
        (("--catch-up", "never"), "--catch-up"),
        (("--delivery-type", "smoke"), "--delivery-type"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_add__wrong_usage(run: Run, stand_in: StandIn, arguments: tuple[str, ...], message: str) -> None:
    result = run(*ADD, *arguments, input="", status=2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert stand_in.requests == []


@pytest.mark.parametrize("missing", ["--sns-topic", "--sns-message", "--sns-access-key-id"])
def test_add__what_is_missing_is_named_before_a_secret_is_asked_for(run: Run, missing: str) -> None:
    position = ADD.index(missing)
    result = run(*ADD[:position], *ADD[position + 2 :], status=2)
    assert f"{missing}: it is needed for delivery to SNS" in result.stderr
    assert "Hint: cronally add --help" in result.stderr


def test_add__message_and_secret_cannot_both_be_stdin(run: Run) -> None:
    base = tuple(part for part in ADD if part not in ("--sns-message", "hello"))
    result = run(*base, "--sns-message-file", "-", "--sns-secret-access-key-file", "-", input="x", status=2)
    assert "stdin cannot be both" in result.stderr


def test_add__a_wrong_expression_is_explained(run: Run) -> None:
    result = run("add", "--name", "x", "--cron", "61 8 * * *", "--delivery-http-url", "https://a", status=1)
    assert result.stderr.startswith('error: cron: "61" is out of range for minute (0-59). Hint: try it out')
    assert result.stdout == ""


def test_list__shows_ids_and_fire_times(run: Run, cronjob: dict[str, Any]) -> None:
    result = run("list")
    assert cronjob["cronjob_id"] in result.stdout
    assert "report" in result.stdout
    assert "2026-11-24 08:05" in result.stdout
    assert json.loads(run("list", "--json").stdout) == {"status": "success", "response": [cronjob]}


def test_list__of_nothing_says_so(run: Run) -> None:
    assert "There are no cron jobs" in run("list").stdout
    assert json.loads(run("list", "--json").stdout)["response"] == []


def test_list__page_by_page(run: Run, stand_in: StandIn) -> None:
    for number in range(3):
        run(*ADD, "--name", f"job-{number}", "--sns-secret-access-key", SECRET)
    result = run("list", "--limit", "2")
    assert "job-1" in result.stdout
    assert "job-2" not in result.stdout
    assert result.stderr == "note: there is more: add --cursor 2\n"
    assert "job-2" in run("list", "--limit", "2", "--cursor", "2").stdout
    assert json.loads(run("list", "--limit", "1", "--json").stdout)["next_cursor"] == "1"


def test_show__and_what_is_not_there(run: Run, cronjob: dict[str, Any]) -> None:
    assert TOPIC in run("show", cronjob["cronjob_id"]).stdout
    assert json.loads(run("show", cronjob["cronjob_id"], "--json").stdout)["response"] == cronjob
    result = run("show", "0000", status=1)
    assert result.stderr == (
        "error: There is no such cron job. Hint: `cronally list` shows the cron jobs and their ids\n"
    )
    assert "an id has only letters" in run("show", "../account", status=1).stderr


def test_update__sends_only_what_changes(
    run: Run, stand_in: StandIn, cronjob: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONALLY_SNS_SECRET_ACCESS_KEY", "canary")
    assert "other" in run("update", cronjob["cronjob_id"], "--name", "other").stdout
    assert stand_in.last.form == {"name": "other"}, "a secret goes only with its access key id"
    run("update", cronjob["cronjob_id"], "--sns-access-key-id", "AKIANEW")
    assert stand_in.last.form == {"sns_access_key_id": "AKIANEW", "sns_secret_access_key": "canary"}
    run("update", cronjob["cronjob_id"], "--sns-topic", TOPIC.replace("eu-central-1", "us-west-2"))
    assert stand_in.last.form["sns_region"] == "us-west-2"
    assert "give at least one option" in run("update", cronjob["cronjob_id"], status=2).stderr


def test_delete__without_a_terminal_does_not_ask(
    run: Run, stand_in: StandIn, cronjob: dict[str, Any]
) -> None:
    assert run("delete", cronjob["cronjob_id"]).stdout == "Cron job 'report' deleted.\n"
    assert stand_in.cronjobs == {}
    run("delete", cronjob["cronjob_id"], "--yes", status=1)


def test_delete__json(run: Run, cronjob: dict[str, Any]) -> None:
    answer = json.loads(run("delete", cronjob["cronjob_id"], "--yes", "--json").stdout)
    assert answer["response"]["deleted"] is True


def test_firings__of_one_of_all_and_of_a_deleted_one(
    run: Run, stand_in: StandIn, cronjob: dict[str, Any]
) -> None:
    assert "The ledger holds no firings yet." in run("firings").stdout
    stand_in.add_firings(cronjob, 3)
    attempt = {"attempt": 1, "reason": "target_refused", "detail": "NotFound: no such topic"}
    stand_in.firings[0].update(state="failed", reason="target_refused", message_id=None, attempts=[attempt])
    shown = run("firings", cronjob["cronjob_id"]).stdout
    assert "2026-11-24 08:02:00" in shown
    assert "target_refused: NotFound: no such topic" in shown
    assert "message-1" in shown
    assert cronjob["cronjob_id"] in run("firings").stdout
    assert run("firings", "--limit", "2").stderr == "note: there is more: add --cursor 2\n"
    run("delete", cronjob["cronjob_id"])
    assert run("firings", cronjob["cronjob_id"]).stdout == shown
    answer = json.loads(run("firings", cronjob["cronjob_id"], "--json").stdout)
    assert len(answer["response"]) == 3
    assert "There is no such cron job" in run("firings", "0000", status=1).stderr
    not_found = failure(404, "not_found", "There is no such cron job.")
    stand_in.faults.extend([not_found, failure(400, "invalid_request", "x", {"cronjob_id": "is no id"})])
    assert "There is no such cron job" in run("firings", "0000", status=1).stderr


def test_why__tells_one_instant(run: Run, stand_in: StandIn, cronjob: dict[str, Any]) -> None:
    stand_in.add_firings(cronjob, 1)
    shown = run("why", cronjob["cronjob_id"], "2026-11-24T08:00:00Z").stdout
    assert shown.startswith("Fired: delivered.\n")
    for part in ("2026-11-24 09:00:00+01:00", "delivered", "message-0", "Attempt 1"):
        assert part in shown
    assert stand_in.last.target == f"/cronjob/{cronjob['cronjob_id']}/explain/?at=2026-11-24T08%3A00%3A00Z"
    nothing = run("why", cronjob["cronjob_id"], "2026-11-24T10:00:00+01:00").stdout
    assert nothing.startswith("Not a fire time: \N{REPLACEMENT CHARACTER}[2J.")
    assert stand_in.last.query == {"at": "2026-11-24T10:00:00+01:00"}
    answer = json.loads(run("why", cronjob["cronjob_id"], "2026-11-24T08:00:00Z", "--json").stdout)
    assert answer["response"]["finding"] == "delivered"
    assert "no such cron job" in run("why", "0000", "2026-11-24T08:00:00Z", status=1).stderr
    assert "an instant is written like" in run("why", cronjob["cronjob_id"], "noon", status=2).stderr


def test_zone_and_policies__are_sent_and_shown(run: Run, stand_in: StandIn) -> None:
    given = ("--timezone", "Europe/Berlin", "--dst-gap", "shift", "--dst-overlap", "last")
    shown = run(*ADD, "--sns-secret-access-key", SECRET, *given).stdout
    sent = {"timezone": "Europe/Berlin", "dst_gap": "shift", "dst_overlap": "last"}
    assert sent.items() <= stand_in.last.form.items()
    assert "Europe/Berlin" in shown
    assert "dst_gap=shift dst_overlap=last" in shown
    cronjob_id = next(iter(stand_in.cronjobs))
    run("update", cronjob_id, "--timezone", "UTC", "--dst-gap", "default")
    assert stand_in.last.form == {"timezone": "UTC", "dst_gap": "default"}


def test_account__hides_the_secret_unless_asked(run: Run, account: dict[str, Any]) -> None:
    result = run("account")
    assert account["email"] in result.stdout
    assert account["api_secret"] not in result.output
    assert account["api_secret"] in run("account", "--show-secret").stdout
    assert json.loads(run("account", "--json").stdout)["response"] == account


def test_errors__wrong_keys_point_at_keys_and_clock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_API_SECRET", "d3Jvbmc=")
    result = run("list", status=1)
    assert "not signed by a known API key" in result.stderr
    assert "Hint: check the profile or CRONALLY_API_KEY" in result.stderr
    monkeypatch.setenv("CRONALLY_API_SECRET", "canary!")
    result = run("list", status=1)
    assert "canary" not in result.output


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


def test_errors__what_a_server_says_cannot_steer_the_terminal(run: Run, stand_in: StandIn) -> None:
    stand_in.faults.append(failure(400, "invalid_request", "x", {"a\x1b[2J": "one\ntwo\x07 \x9b31m\u202e"}))
    result = run("list", status=1)
    assert result.stderr == "error: a�[2J: one two� �31m�\n"
    hostile = {
        "cronjob_id": "i",
        "account_id": "a",
        "name": "\x1b]0;x\x07[red]",
        "cron": "c",
        "deleted": False,
    }
    stand_in.faults.append(
        success([{**hostile, "state": "\x1b[0m", "sns_topic": "a\nb"}], next_cursor="\x1b[2J")
    )
    output = run("list").output
    assert "\x1b" not in output
    assert "[red]" in output
    stand_in.faults.append(success([hostile]))
    assert "\x1b" not in run("list", "--json").output

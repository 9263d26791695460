"""`cronally connection` against the real API."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.operations.parameters import AWS, SECRET, SNS, WEB
from tests.support.certificates import Authority
from tests.support.factories import CANARY
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")

ADD_AWS = ("connection", "add", "--name", "billing", "--kind", "aws")
KEY = ("--aws-access-key-id", AWS["aws_access_key_id"])
ADD_WEB = ("connection", "add", "--name", "hooks", "--kind", "http", "--base-url", WEB["base_url"])


def test_connection__is_added_listed_shown_changed_and_removed(
    run: Run, relay: Relay, tmp_path: Path
) -> None:
    assert run("connection", "list").stdout.startswith("There are no connections")
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    shown = run(*ADD_AWS, *KEY, "--aws-secret-access-key-file", str(file)).stdout
    assert relay.last.form()["aws_secret_access_key"] == SECRET
    assert CANARY not in shown
    assert all(said in shown for said in ("billing", "aws", AWS["aws_access_key_id"]))
    assert run("connection", "show", "billing").stdout == shown
    listed = run("connection", "list", "--wide").stdout
    assert all(said in listed for said in ("billing", "aws", AWS["aws_access_key_id"]))
    changed = run("connection", "change", "billing", "--name", "invoices", "--json").stdout
    assert json.loads(changed)["response"]["version"] == 2
    assert run("connection", "remove", "invoices", "--yes").stdout == "Connection invoices deleted.\n"
    assert "no such connection" in run("connection", "show", "invoices", status=1).stderr


def test_connection__secrets_come_from_the_environment_and_are_asked_for(
    run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run(*ADD_AWS, *KEY, status=2)
    assert "--aws-secret-access-key-file" in refused.stderr
    monkeypatch.setenv("CRONALLY_AWS_SECRET_ACCESS_KEY", SECRET)
    run(*ADD_AWS, *KEY)
    assert relay.last.form()["aws_secret_access_key"] == SECRET
    monkeypatch.setenv("CRONALLY_TOKEN", "t0ken")
    run(*ADD_WEB, "--headers", "X-Key: abc", "--headers", "Accept: text/html, */*")
    assert "token=t0ken" in relay.last.body.decode()
    assert "Accept, X-Key" in run("connection", "show", "hooks").stdout
    run("connection", "change", "hooks", "--timeout", "5s")
    assert "Request timeout" in run("connection", "show", "hooks").stdout
    run("connection", "change", "hooks", "--max-in-flight", "4", "--max-per-second", "10")
    assert relay.last.form() == {"max_in_flight": "4", "max_per_second": "10"}
    shown = run("connection", "show", "hooks").stdout
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("Sent ")] == ["4", "10"]
    run("connection", "change", "hooks", "--max-in-flight", "default")
    assert "Sent at once" not in run("connection", "show", "hooks").stdout
    run("connection", "change", "hooks", "--headers-file", "-", input="X-Other: a\n\nX-Third: b: c\n")
    assert "X-Other, X-Third" in run("connection", "show", "hooks").stdout
    monkeypatch.setenv("CRONALLY_PASSWORD", "open sesame")
    run("connection", "change", "hooks", "--username", "Aladdin", "--overlap", "1h")
    assert relay.last.form() == {"username": "Aladdin", "password": "open sesame", "overlap": "1h"}
    assert "Former secrets until" in run("connection", "show", "hooks").stdout


def test_connection__with_oauth2(run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://1.1.1.1/token"
    client = ("--token-url", url, "--client-id", "cronally")
    refused = run(*ADD_WEB, *client, status=2)
    assert all(said in refused.stderr for said in ("--client-secret-file", "CRONALLY_CLIENT_SECRET"))
    assert "--client-secret" in run(*ADD_WEB, "--authentication", "oauth2", status=2).stderr
    monkeypatch.setenv("CRONALLY_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("CRONALLY_TOKEN", "t0ken")  # is of no use to it
    shown = run(*ADD_WEB, *client, "--scope", "a b").stdout
    assert {**relay.last.form(), "name": "-"} == {
        "name": "-",
        "kind": "http",
        "base_url": WEB["base_url"],
        "scope": "a b",
        "token_url": url,
        "client_id": "cronally",
        "client_secret": SECRET,
    }
    assert CANARY not in shown
    assert all(said in shown for said in ("oauth2", url, "cronally", "a b"))
    run("connection", "change", "hooks", "--scope", "default")
    assert relay.last.form() == {"scope": "default"}
    run("connection", "change", "hooks", "--client-id", "other", "--overlap", "1h")
    assert relay.last.form() == {"client_id": "other", "client_secret": SECRET, "overlap": "1h"}
    # What stands in the environment picks no way to say who calls that was not asked for.
    monkeypatch.delenv("CRONALLY_TOKEN")
    run(*ADD_WEB[:3], "plain", *ADD_WEB[4:])
    assert "client_secret" not in relay.last.form()


def test_connection__shows_how_it_signs(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"whsk_{base64.b64encode(b'k' * 32).decode()}\n")
    run(*ADD_WEB)
    refused = run("connection", "change", "hooks", "--signature-format", "both", status=1).stderr
    assert "goes with a signing_secret" in refused
    signed = ("--signing-secret-file", str(file), "--signature-format", "message-signatures")
    shown = run("connection", "change", "hooks", *signed).stdout
    (own,) = re.findall(r"^Connection +(\S+) *$", shown, re.MULTILINE)
    assert re.search(
        r"^Signing secret +yes, not shown *\nSigned as +message-signatures *$", shown, re.MULTILINE
    )
    assert re.search(rf"^Key page +/keys/{own}/ *$", shown, re.MULTILINE)
    assert re.search(r"^Key ids +\S{43} *$", shown, re.MULTILINE)
    shown = run("connection", "change", "hooks", "--signature-format", "standard-webhooks").stdout
    assert "standard-webhooks" in shown
    assert "Key page" not in shown
    refused = run("connection", "change", "hooks", "--signature-format", "x", status=2).stderr
    assert "not one of 'standard-webhooks', 'message-signatures', 'both'" in refused


def test_connection__that_is_not_accepted_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_TOKEN", "t0ken")
    run("connection", "add", "--name", "x", "--kind", "http", "--base-url", "https://nobody.invalid/in")
    refused = run("connection", "verify", "x", status=1)
    assert (
        "the credentials could not be tried out: not sent: the host name does not resolve" in refused.stderr
    )
    assert "t0ken" not in refused.output
    assert (
        json.loads(run("connection", "verify", "x", "--json", status=1).stdout)["response"]["accepted"]
        is False
    )


def test_connection__wrong_usage(run: Run) -> None:
    assert "nothing to change" in run("connection", "change", "x", status=2).stderr
    assert "no terminal to ask at" in run("connection", "remove", "x", status=1).stderr
    assert "letters, digits" in run("connection", "show", "../x", status=1).stderr


def test_cronjob__uses_one(run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_AWS_SECRET_ACCESS_KEY", SECRET)
    run(*ADD_AWS, *KEY)
    run(*ADD_WEB)
    job = ("--cron", "0 8 * * *", "--connection")
    topic = ("--sns-topic", SNS["sns_topic"], "--sns-message", "x")
    shown = run("add", "--name", "report", *job, "billing", *topic).stdout
    assert not relay.last.form().keys() & {"sns_access_key_id", "sns_secret_access_key"}
    assert "Connection" in shown
    assert "billing" in shown
    url = ("--delivery-http-url", "/run", "--delivery-http-method", "post")
    assert f"{WEB['base_url']}/run" in run("add", "--name", "sync", *job, "hooks", *url).stdout
    listed = run("list", "--connection", "billing", "--columns", "name,connection").stdout
    assert "report" in listed
    assert "billing" in listed
    assert "sync" not in listed
    missing = run("add", "--name", "report", *job, "default", *topic, status=2)
    assert "--sns-access-key-id" in missing.stderr
    refused = run("connection", "remove", "billing", "--yes", status=1)
    assert "report" in refused.stderr
    applied = run("apply", "report", *job, "billing", *topic).stdout
    assert "unchanged" in applied


def test_role__is_shown_with_the_trust_policy_that_it_needs(
    run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, me = "arn:aws:iam::123456789012:role/cronally", "arn:aws:iam::123456789012:user/cron"
    # This server has no identity of its own.
    assert "aws_access_key_id" in run(*ADD_AWS, "--aws-role-arn", role, status=1).stderr
    assert "aws_secret_access_key" not in relay.last.form()
    monkeypatch.setenv("CRONALLY_AWS_SECRET_ACCESS_KEY", SECRET)
    run(*ADD_AWS, *KEY)
    refused = run("policy", "--role", "billing", "--principal", me, status=1)
    assert "the connection has no role" in refused.stderr
    shown = run("connection", "change", "billing", "--aws-role-arn", role, "--json").stdout
    given = json.loads(shown)["response"]["aws_external_id"]
    assert all(said in run("connection", "show", "billing").stdout for said in (role, given))
    assert role in run("connection", "list", "--wide").stdout
    policy = json.loads(run("policy", "--role", "billing", "--principal", me).stdout)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": me},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": given}},
    }
    assert policy == {"Version": "2012-10-17", "Statement": [statement]}
    assert "--principal" in run("policy", "--role", "billing", status=2).stderr
    wrong = run("policy", "--role", "billing", "--principal", "me", status=1)
    assert "give one like arn:aws:iam::123456789012:user/" in wrong.stderr
    both = ("policy", "report", "--role", "billing", "--principal", me)
    assert "a connection alone" in run(*both, status=2).stderr


def test_certificate__comes_from_files_and_is_shown_without_its_key(
    run: Run, relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority("ours")
    issued, other = authority.issue("us"), authority.issue("them")
    files = {"cert": issued.certificate, "key": issued.key, "ca": authority.certificate, "other": other.key}
    named = {}
    for name, text in files.items():
        named[name] = str(tmp_path / f"{name}.pem")
        Path(named[name]).write_text(text)
    shown = ("--client-certificate-file", named["cert"], "--ca-certificates-file", named["ca"])
    assert "client_key" in run(*ADD_WEB, *shown, status=1).stderr
    wrong = run(*ADD_WEB, *shown, "--client-key-file", named["other"], status=1)
    assert "does not belong" in wrong.stderr
    added = run(*ADD_WEB, *shown, "--client-key-file", named["key"]).stdout
    assert relay.last.form()["client_key"] == issued.key.strip()
    assert all(said in added for said in ("Client certificate", "CN=us", "SHA-256", "CN=ours"))
    assert "PRIVATE KEY" not in added + wrong.output
    assert "CN=us" in run("connection", "show", "hooks").stdout
    monkeypatch.setenv("CRONALLY_CLIENT_KEY", other.key)
    run("connection", "change", "hooks", "--client-certificate", other.certificate, status=1)
    run("connection", "add", "--name", "bare", "--kind", "http", "--base-url", WEB["base_url"])
    assert "client_key" not in relay.last.form(), "it is of no use without a certificate"
    stdin = run(
        "connection", "change", "hooks", "--client-certificate", other.certificate, "--client-key-file", "-",
        input=other.key,
    ).stdout  # fmt: skip
    assert "CN=them" in stdin
    gone = run("connection", "change", "hooks", "--client-certificate", "default").stdout
    assert "Client certificate" not in gone
    empty = tmp_path / "empty.pem"
    empty.write_text("\n")
    assert (
        "is empty" in run("connection", "change", "hooks", "--client-key-file", str(empty), status=2).stderr
    )

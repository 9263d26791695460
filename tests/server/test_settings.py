"""The settings: every bad value one clear line that names its variable; secrets from files and in no text."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from cronally import errors
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.role import Role
from cronally.server.environment import read_settings
from cronally.server.resources import make_mail
from cronally.server.settings import SECRETS, Settings, is_loopback
from tests.support.factories import CANARY
from tests.support.secret_file import write_secret


def test_defaults__are_those_of_one_process_on_this_machine() -> None:
    settings = read_settings()
    assert settings.database_url.get_secret_value() == "sqlite:///cronally.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.roles == frozenset(Role)
    assert settings.signup == "open"
    assert (settings.signups_per_minute, settings.max_cronjobs_per_account) == (20, 1000)
    assert (settings.signature_skew, settings.retention, settings.on_time) == (5 * MINUTE, 30 * DAY, MINUTE)
    assert settings.sealing_keys is None


def test_values__are_read_in_the_forms_that_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CRONALLY_ROLES": " scheduler , dispatcher",
        "CRONALLY_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32,192.0.2.1",
        "CRONALLY_HOSTS": "Cron.Example.com, cron.internal.,10.0.0.5,*",
        "CRONALLY_RETENTION": "7d",
        "CRONALLY_LEASE": "90s",
        "CRONALLY_SHUTDOWN_GRACE": "0s",
        "CRONALLY_SIGNATURE_SKEW": "1h",
        "CRONALLY_PORT": "0",
        "AWS_ENDPOINT_URL_SNS": "http://localhost:4566",
        "AWS_ENDPOINT_URL_STS": "http://localhost:4566",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert settings.roles == {Role.SCHEDULER, Role.DISPATCHER}
    assert settings.trusted_proxies == [
        ipaddress.ip_network(text) for text in ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32")
    ]
    assert settings.hosts == ["cron.example.com", "cron.internal", "10.0.0.5", "*"]
    assert (settings.retention, settings.lease, settings.shutdown_grace) == (7 * DAY, 90 * SECOND, 0)
    assert (settings.signature_skew, settings.port) == (HOUR, 0)
    assert settings.aws_endpoint_url_sns == "http://localhost:4566"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1048577", 1048577), ("512KiB", 2**19), (" 400 MiB ", 400 * 2**20), ("2GiB", 2**31)],
)
def test_size__is_bytes_or_has_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    monkeypatch.setenv("CRONALLY_MEMORY_LIMIT", text)
    assert read_settings().memory_limit == expected


def test_overrides__win_unless_they_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_PORT", "8100")
    assert read_settings(port=None, host=None).port == 8100
    assert read_settings(port=8200).port == 8200


FORMS = {
    "CRONALLY_EGRESS_PROXY": "http://user:{}@proxy:3128",
    "CRONALLY_SMTP_URL": "smtp://user:{}@mail:587",
}
"""How a secret stands in those that are no secret alone."""

BAD = [
    ("CRONALLY_PORT", "http", "integer"),
    ("CRONALLY_PORT", "65536", "65535"),
    ("CRONALLY_DATABASE_POOL_SIZE", "1", "2"),
    ("CRONALLY_ROLES", "api,boss", "'dispatcher'"),
    ("CRONALLY_ROLES", " , ", "one role"),
    ("CRONALLY_SIGNUP", "maybe", "'token'"),
    ("CRONALLY_SIGNUPS_PER_MINUTE", "0", "1"),
    ("CRONALLY_MAX_CRONJOBS_PER_ACCOUNT", "-1", "0"),
    ("CRONALLY_SIGNATURE_SKEW", "30s", "at least 1m"),
    ("CRONALLY_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example.com", "proxy.example.com"),
    ("CRONALLY_TRUSTED_PROXIES", "10.0.0.1/8", "host bits"),
    ("CRONALLY_HOSTS", "cron.example.com,https://cron.example.com", "without scheme and port"),
    ("CRONALLY_HOSTS", "cron.example.com:8000", "without scheme and port"),
    ("CRONALLY_HOSTS", "*.example.com", "'*.example.com' is no host name"),
    ("CRONALLY_HOSTS", "b\u00fccher.example", "no host name"),
    ("CRONALLY_MEMORY_LIMIT", "lots", "400MiB"),
    ("CRONALLY_MEMORY_LIMIT", "400MB", "400MiB"),
    ("CRONALLY_MEMORY_LIMIT", "-1", "400MiB"),
    ("CRONALLY_IN_FLIGHT", "many", "integer"),
    ("CRONALLY_IN_FLIGHT_PER_ACCOUNT", "0", "1"),
    ("CRONALLY_LEASE", "60", "90s, 15m, 24h or 7d"),
    ("CRONALLY_LEASE", "2h", "at most 1h"),
    ("CRONALLY_REQUEST_TIMEOUT", "0s", "at least 1s"),
    ("CRONALLY_ON_TIME", "2h", "at most 1h"),
    ("CRONALLY_RETENTION", "1h", "at least 24h"),
    ("CRONALLY_HTTP_ALLOWED_NETWORKS", "all", "10.0.0.0/8"),
    ("CRONALLY_HTTP_DENIED_NETWORKS", "10.0.0.1/8", "host bits"),
    ("CRONALLY_HTTP_ALLOWED_HOSTS", "https://example.com", "without scheme and port"),
    ("CRONALLY_HTTP_ALLOWED_HOSTS", "*", "example.com, *.example.com"),
    ("CRONALLY_HTTP_DENIED_HOSTS", "*.10.0.0.1", "example.com, *.example.com"),
    ("CRONALLY_HTTP_DENIED_HOSTS", "hooks.*.com", "no host name"),
    ("CRONALLY_EGRESS_PROXY", "proxy.example.com:3128", "http://host:port"),
    ("CRONALLY_EGRESS_PROXY", "https://proxy.example.com:3128", "http://host:port"),
    ("CRONALLY_EGRESS_PROXY", "http://proxy.example.com", "http://host:port"),
    ("CRONALLY_EGRESS_PROXY", "socks5://proxy.example.com:port", "socks5://host:port"),
    ("CRONALLY_EGRESS_PROXY", "http://proxy.example.com:3128/path", "http://host:port"),
    ("CRONALLY_EGRESS_PROXY", "http://:secret@proxy.example.com:3128", "user name"),
    ("CRONALLY_EGRESS_PROXY_RESOLVES", "true", "no CRONALLY_EGRESS_PROXY"),
    ("CRONALLY_SMTP_URL", "mail.example.com:587", "smtp://host:port"),
    ("CRONALLY_SMTP_URL", "smtp://user@mail.example.com", "no password"),
    ("CRONALLY_SMTP_URL", "smtp://mail.example.com", "CRONALLY_SMTP_SENDER"),
    ("CRONALLY_SIGNUP", "verified", "set CRONALLY_SMTP_URL"),
    ("CRONALLY_SMTP_SENDER", "Cronally", "username@example.com"),
    ("CRONALLY_SMTP_SENDER", "jürgen@example.com", "ASCII"),
    ("CRONALLY_PUBLIC_URL", "cron.example.com", "https://cron.example.com"),
    ("CRONALLY_PUBLIC_URL", "https://cron.example.com/?a=b", "without query"),
    ("CRONALLY_SHUTDOWN_GRACE", "soon", "90s, 15m, 24h or 7d"),
    ("CRONALLY_LOG_LEVEL", "loud", "'debug'"),
    ("CRONALLY_LOG_FORMAT", "xml", "'json'"),
    ("AWS_ENDPOINT_URL_SNS", "localhost:4566", "http://host:port"),
]


@pytest.mark.parametrize(("variable", "value", "hint"), BAD)
def test_bad_value__gives_one_line_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, hint: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.SettingsError) as caught:
        read_settings()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{variable}: ")
    assert hint in line


def test_bad_values__give_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_PORT", "http")
    monkeypatch.setenv("CRONALLY_LEASE", "1s")
    monkeypatch.setenv("CRONALLY_LOG_LEVEL", "loud")
    with pytest.raises(errors.SettingsError) as caught:
        read_settings()
    names = {line.split(":")[0] for line in str(caught.value).splitlines()}
    assert names == {"CRONALLY_PORT", "CRONALLY_LEASE", "CRONALLY_LOG_LEVEL"}


def test_lease__must_exceed_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_REQUEST_TIMEOUT", "59s")
    with pytest.raises(errors.SettingsError, match=r"^CRONALLY_LEASE: "):
        read_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_signup__is_open_by_default_on_loopback(host: str) -> None:
    assert is_loopback(host)
    assert read_settings(host=host).signup == "open"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "", "127.0.0.1.example.com"])  # noqa: S104
def test_signup__must_be_said_on_any_other_address(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(errors.SettingsError, match=r"^CRONALLY_SIGNUP: "):
        read_settings(host=host)
    assert read_settings(host=host, signup="closed").signup == "closed"
    # A process without the API lets nobody sign up.
    assert read_settings(host=host, roles=["scheduler"])


def test_signup__token_is_required_with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_SIGNUP", "token")
    for token in (None, "", "x" * 15):
        if token is not None:
            monkeypatch.setenv("CRONALLY_SIGNUP_TOKEN", token)
        with pytest.raises(errors.SettingsError, match=r"^CRONALLY_SIGNUP_TOKEN: "):
            read_settings()
    monkeypatch.setenv("CRONALLY_SIGNUP_TOKEN", CANARY * 2)
    assert read_settings().signup_token is not None


@pytest.mark.parametrize("signup", [None, "open"])
def test_signup__a_token_that_nobody_is_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, signup: str | None
) -> None:
    """Who gives one takes the door for closed."""
    if signup is not None:
        monkeypatch.setenv("CRONALLY_SIGNUP", signup)
    monkeypatch.setenv("CRONALLY_SIGNUP_TOKEN", CANARY * 2)
    with pytest.raises(errors.SettingsError, match=r"^CRONALLY_SIGNUP: .*CRONALLY_SIGNUP=token") as refused:
        read_settings()
    assert CANARY not in str(refused.value)
    monkeypatch.setenv("CRONALLY_SIGNUP", "closed")
    assert read_settings().signup == "closed"


@pytest.mark.parametrize("variable", SECRETS)
def test_secrets__may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    form = FORMS.get(variable, "{}")
    monkeypatch.setenv("CRONALLY_SMTP_SENDER", "cron@example.com")
    monkeypatch.setenv("CRONALLY_PUBLIC_URL", "https://cron.example.com")
    file = write_secret(tmp_path / "secret", f"  {form.format(CANARY.replace('/', '-'))}\n")
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    monkeypatch.setenv("CRONALLY_SIGNUP", "closed")
    name = variable.removeprefix("CRONALLY_").lower()
    assert getattr(read_settings(), name).get_secret_value() == form.format(CANARY.replace("/", "-"))
    # The variable itself wins.
    monkeypatch.setenv(variable, form.format("direct"))
    assert getattr(read_settings(), name).get_secret_value() == form.format("direct")


@pytest.mark.parametrize("variable", SECRETS)
def test_secrets__file_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "missing"))
    with pytest.raises(
        errors.SettingsError, match=f"^{variable}_FILE: .*missing cannot be read: No such file"
    ):
        read_settings()
    write_secret(tmp_path / "missing", "").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.SettingsError, match="it is no text"):
        read_settings()


def test_identity__is_whole_and_counts_with_its_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().aws_identity is None
    monkeypatch.setenv("CRONALLY_AWS_SECRET_ACCESS_KEY", CANARY)
    assert read_settings().aws_identity is None, "a tenant's own, which the command reads"
    monkeypatch.setenv("CRONALLY_AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    identity = read_settings().aws_identity
    assert identity is not None
    assert identity == ("AKIAIOSFODNN7EXAMPLE", CANARY, None)
    assert CANARY not in repr(read_settings()) + repr(identity)
    monkeypatch.setenv("CRONALLY_AWS_ACCESS_KEY_ID", CANARY)
    with pytest.raises(errors.SettingsError, match=r"^CRONALLY_AWS_ACCESS_KEY_ID: ") as refused:
        read_settings()
    assert CANARY not in str(refused.value)
    monkeypatch.setenv("CRONALLY_AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    for wrong in ("", "AKIAIOSFODNN7EXAMPLE"):
        monkeypatch.setenv("CRONALLY_AWS_SECRET_ACCESS_KEY", wrong)
        with pytest.raises(errors.SettingsError, match=r"^CRONALLY_AWS_SECRET_ACCESS_KEY: give the secret"):
            read_settings()


def test_secrets__are_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_DATABASE_URL", f"postgresql://u:{CANARY}@db/x")
    monkeypatch.setenv("CRONALLY_SEALING_KEYS", f"k1:{CANARY}")
    monkeypatch.setenv("CRONALLY_SIGNUP", "token")
    monkeypatch.setenv("CRONALLY_SIGNUP_TOKEN", CANARY * 2)
    settings = read_settings()
    assert CANARY not in repr(settings) + str(settings) + settings.model_dump_json()
    monkeypatch.setenv("CRONALLY_PORT", "x")
    with pytest.raises(errors.SettingsError) as caught:
        read_settings()
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings__all_have_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings__that_is_no_number_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_PORT", "abc")
    with pytest.raises(
        errors.SettingsError, match=r"^CRONALLY_PORT: is no integer; write a whole number, such as 8000$"
    ):
        read_settings()


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("CRONALLY_DATABASE_POOL_SIZE", "1", "must be at least 2"),
        ("CRONALLY_DATABASE_POOL_SIZE", "101", "must be at most 100"),
        ("CRONALLY_LEASE", "2h", "must be at most 1h"),
        ("CRONALLY_LOG_FORMAT", "xml", "must be 'json' or 'text'"),
        ("CRONALLY_ROLES", "boss", "must be 'api', 'scheduler' or 'dispatcher'"),
    ],
)
def test_bound__is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.SettingsError, match=f"^{variable}: {line}$"):
        read_settings()


@pytest.mark.parametrize(
    ("variable", "line"),
    [
        ("CRONALLY_SIGNUP_TOKN", "is no setting; do you mean CRONALLY_SIGNUP_TOKEN?"),
        ("CRONALLY_SEALING_KEY", "is no setting; do you mean CRONALLY_SEALING_KEYS?"),
        ("CRONALLY_SEALING_KEY_FILE", "is no setting; do you mean CRONALLY_SEALING_KEYS_FILE?"),
        ("CRONALLY_MAX_CRONJOBS", "is no setting; do you mean CRONALLY_MAX_CRONJOBS_PER_ACCOUNT?"),
        ("CRONALLY_HOST_FILE", "is no setting"),  # no secret, so not read from a file
        ("cronally_prot", "is no setting; do you mean CRONALLY_PORT?"),
        ("CRONALLY_COLOUR", "is no setting; the README lists them all"),
    ],
)
def test_unknown_variable__is_a_mistake(monkeypatch: pytest.MonkeyPatch, variable: str, line: str) -> None:
    monkeypatch.setenv(variable, CANARY)
    with pytest.raises(errors.SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"{variable.upper()}: {line}")
    assert CANARY not in str(caught.value)


def test_unknown_variable__is_said_with_all_other_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_PROT", "8000")
    monkeypatch.setenv("CRONALLY_LEASE", "soon")
    with pytest.raises(errors.SettingsError) as caught:
        read_settings()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "CRONALLY_PROT",
        "CRONALLY_LEASE",
    ]


def test_variables_of_others__are_none_of_the_servers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *("CRONALLY_URL", "CRONALLY_API_KEY", "CRONALLY_API_SECRET", "CRONALLY_PROFILE"),
        *("CRONALLY_SNS_SECRET_ACCESS_KEY", "_CRONALLY_COMPLETE", "CRONALLYX"),
        # Kubernetes: one set for a Service `cronally`.
        *("CRONALLY_SERVICE_HOST", "CRONALLY_SERVICE_PORT", "CRONALLY_SERVICE_PORT_HTTP"),
        *("CRONALLY_PORT_8000_TCP", "CRONALLY_PORT_8000_TCP_ADDR", "CRONALLY_PORT_8000_TCP_PROTO"),
    ):
        monkeypatch.setenv(name, "x")
    assert read_settings().port == 8000


def test_port__that_kubernetes_sets_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONALLY_PORT", "tcp://10.96.0.12:8000")
    with pytest.raises(errors.SettingsError, match=r"^CRONALLY_PORT: .*enableServiceLinks: false"):
        read_settings()


def test_mail__is_off_until_all_that_it_needs_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_mail(read_settings()) is None
    monkeypatch.setenv("CRONALLY_SMTP_URL", f"smtp://user:{CANARY}@127.0.0.1:2525")
    monkeypatch.setenv("CRONALLY_SMTP_SENDER", "cron@bücher.example")
    with pytest.raises(errors.SettingsError, match="CRONALLY_PUBLIC_URL") as caught:
        read_settings()
    assert CANARY not in str(caught.value)
    monkeypatch.setenv("CRONALLY_PUBLIC_URL", "https://cron.example.com/")
    settings = read_settings()
    assert settings.public_url == "https://cron.example.com"
    assert CANARY not in repr(settings)
    assert make_mail(settings) is not None
    monkeypatch.setenv("CRONALLY_SMTP_URL", "")
    assert make_mail(read_settings()) is None

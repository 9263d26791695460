"""The server's settings: each with its default and its bounds. `environment.read_settings` reads them.

Invariant: no setting is declared anywhere else.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.role import Role
from cronally.server.setting_values import (
    Duration,
    Network,
    read_duration,
    read_hosts,
    read_list,
    read_networks,
    read_patterns,
    read_public_url,
    read_sender,
    read_size,
)
from cronally.targets.credentials import Credentials
from cronally.targets.mail.server import parse_smtp_url
from cronally.targets.proxy import parse_proxy
from cronally.targets.sns.parameters import secret_key_complaint

MIN_TOKEN = 16
"""Characters of a sign-up token: what is shorter can be guessed."""
SECRETS = (
    "CRONALLY_DATABASE_URL",
    "CRONALLY_SEALING_KEYS",
    "CRONALLY_SIGNUP_TOKEN",
    "CRONALLY_EGRESS_PROXY",
    "CRONALLY_AWS_SECRET_ACCESS_KEY",
    "CRONALLY_SMTP_URL",
)


class Settings(BaseSettings):
    """Every setting, its default and its bounds."""

    model_config = SettingsConfigDict(env_prefix="CRONALLY_", extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = Field(
        SecretStr("sqlite:///cronally.db"), description="`sqlite:///path` or `postgresql://user@host/name`"
    )
    database_pool_size: int = Field(
        10,
        ge=2,
        le=100,
        description="connections to PostgreSQL that this node may hold, one or two that listen besides",
    )
    sealing_keys: SecretStr | None = Field(
        None,
        description="lines of `id:base64`; the first seals, all open. Required on PostgreSQL; on SQLite a file"
        " `<database>.keys` is made at the first start",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    health_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port on which a node without the role `api` answers `/healthz`, `/readyz` and `/metrics`; none by"
        " default. 0 picks a free one",
    )
    hosts: Annotated[list[str], NoDecode, BeforeValidator(read_hosts)] = Field(
        default_factory=list,
        description="names by which clients reach the API, such as `cron.example.com`; `*` is any. Requests under other"
        " names than these, `CRONALLY_HOST` and `localhost` are refused, those under an address never",
    )
    public_url: Annotated[str | None, BeforeValidator(read_public_url)] = Field(
        None,
        description="under which others reach the API, such as `https://cron.example.com`: what acknowledgement URLs"
        " and links in mails begin with. Required for cron jobs with `ack_within`, and with `CRONALLY_SMTP_URL`; its"
        " host need not stand in `CRONALLY_HOSTS`",
    )
    acks_per_minute: int = Field(
        6000,
        ge=1,
        description="acknowledgements a minute, from one IPv4 address or IPv6 /64, by one process",
    )
    roles: Annotated[frozenset[Role], NoDecode, BeforeValidator(read_list)] = Field(
        frozenset(Role), description="what this node runs: `api`, `scheduler`, `dispatcher`"
    )

    signup: Literal["open", "verified", "token", "closed"] | None = Field(
        None,
        description="who may create an account: anybody (`open`, the default on loopback), who reads the mail of its"
        " address (`verified`, which needs `CRONALLY_SMTP_URL`), who knows `CRONALLY_SIGNUP_TOKEN` (`token`), no one"
        " (`closed`). Must be set on any other address",
    )
    signup_token: SecretStr | None = Field(None, description="the token that sign-up asks for")
    signups_per_minute: int = Field(
        20, ge=1, description="sign-ups a minute from one IPv4 address or IPv6 /64"
    )
    previews_per_minute: int = Field(
        60,
        ge=1,
        description="previews of expressions a minute, from one IPv4 address or IPv6 /64, by one process",
    )
    max_cronjobs_per_account: int = Field(1000, ge=0, description="cron jobs that an account may have")
    max_bytes_per_account: int = Field(
        16 * 1024 * 1024,
        ge=1024,
        description="bytes that the cron jobs of an account may hold together, messages included",
    )
    max_connections_per_account: int = Field(
        100, ge=0, le=10_000, description="connections that an account may have"
    )
    requests_per_minute: int = Field(
        6000, ge=1, description="signed requests a minute that an account may make to one process"
    )
    request_seconds_per_minute: int = Field(
        15,
        ge=1,
        le=60,
        description="seconds a minute that the signed requests of an account may keep the API's thread of one process"
        " busy, and SQLite's",
    )
    connections: int = Field(
        1000, ge=10, le=100_000, description="connections of clients to this process's API at a time"
    )
    connections_per_address: int = Field(
        100,
        ge=1,
        description="connections at a time from one IPv4 address or IPv6 /64 that is no trusted proxy",
    )
    min_interval: Duration = Field(
        MINUTE,
        ge=SECOND,
        le=DAY,
        description="how close to each other fire times of a cron job may be; an expression with closer ones is"
        " refused",
    )
    signature_skew: Duration = Field(
        5 * MINUTE, ge=MINUTE, le=HOUR, description="how far a request's date may be from the server's clock"
    )
    trusted_proxies: Annotated[list[Network], NoDecode, BeforeValidator(read_networks)] = Field(
        default_factory=list, description="networks whose `X-Forwarded-For` is believed"
    )

    in_flight: int = Field(512, ge=1, le=10_000, description="firings that a process sends at once")
    in_flight_per_account: int = Field(
        64, ge=1, description="firings of one account that a process sends at once"
    )
    in_flight_per_host: int = Field(
        128,
        ge=1,
        description="firings of all accounts that a process sends to one host at once, AWS apart",
    )
    requests_per_second_per_host: int = Field(
        500,
        ge=1,
        description="requests a second of all accounts that a process sends to one host, AWS apart",
    )
    in_flight_per_proven_host: int | None = Field(
        None,
        ge=1,
        description="firings of an account that a process sends at once to a host that it has proven to be its own,"
        " which count for no other account; by default as many as `CRONALLY_IN_FLIGHT_PER_HOST`",
    )
    requests_per_second_per_proven_host: int | None = Field(
        None,
        ge=1,
        description="requests a second of such an account to such a host; by default as many as"
        " `CRONALLY_REQUESTS_PER_SECOND_PER_HOST`",
    )
    long_in_flight: int = Field(
        32,
        ge=0,
        le=10_000,
        description="firings, beside those, whose requests may take longer than `CRONALLY_REQUEST_TIMEOUT`, by a"
        " timeout of their own of up to 15 minutes; a quarter of them of one account. 0 refuses such timeouts",
    )
    lease: Duration = Field(
        MINUTE,
        ge=2 * SECOND,
        le=HOUR,
        description="how long a claimed firing is its worker's; half as long again as a request at least",
    )
    request_timeout: Duration = Field(
        10 * SECOND, ge=SECOND, le=10 * MINUTE, description="how long one request to a target may take"
    )
    on_time: Duration = Field(
        MINUTE,
        ge=SECOND,
        le=HOUR,
        description="fire times up to this old always fire; `catch_up` governs older ones",
    )
    retention: Duration = Field(30 * DAY, ge=DAY, description="how long finished firings stay in the ledger")
    audit_retention: Duration = Field(
        365 * DAY, ge=DAY, description="how long rows stay in the audit logs of accounts"
    )
    account_grace: Duration = Field(
        7 * DAY,
        ge=0,
        le=365 * DAY,
        description="how long the operator can restore an account that was deleted; then its secrets are destroyed, and"
        " its address is free",
    )
    http_allowed_networks: Annotated[list[Network], NoDecode, BeforeValidator(read_networks)] = Field(
        default_factory=list,
        description="private networks that HTTP deliveries may reach; none otherwise",
    )
    http_denied_networks: Annotated[list[Network], NoDecode, BeforeValidator(read_networks)] = Field(
        default_factory=list,
        description="networks that HTTP deliveries may not reach, public ones too; counts for more than what is"
        " allowed",
    )
    http_allowed_hosts: Annotated[list[str], NoDecode, BeforeValidator(read_patterns)] = Field(
        default_factory=list,
        description="hosts that HTTP deliveries may call, such as `example.com` and `*.example.com`, which is all names"
        " below it; any if none is named",
    )
    http_denied_hosts: Annotated[list[str], NoDecode, BeforeValidator(read_patterns)] = Field(
        default_factory=list,
        description="hosts that HTTP deliveries may not call; counts for more than what is allowed",
    )
    egress_proxy: SecretStr | None = Field(
        None,
        description="the proxy through which everything is sent: `http://host:port` (CONNECT) or `socks5://host:port`,"
        " with `user:password@` before the host if it asks for that. Not to `AWS_ENDPOINT_URL_SNS`",
    )
    egress_proxy_resolves: bool = Field(
        False,
        description="whether the proxy looks host names up; then it alone must keep HTTP deliveries from private"
        " addresses",
    )
    http_keep_internal_answers: bool = Field(
        False,
        description="whether what receivers in those private networks answer is kept, and shown to the account, as"
        " that of others is",
    )
    shutdown_grace: Duration = Field(
        10 * SECOND, ge=0, le=HOUR, description="how long SIGTERM waits for what is being sent"
    )

    memory_limit: Annotated[int | None, BeforeValidator(read_size)] = Field(
        None,
        ge=0,
        description="resident memory, such as `400MiB`, above which new requests to the API are refused, so that what"
        " fires goes on; 0 is no limit. By default four fifths of the control group's limit, if it has one",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="one JSON object a line, or text for people"
    )
    aws_endpoint_url_sns: str | None = Field(
        None,
        validation_alias="AWS_ENDPOINT_URL_SNS",
        description="an SNS endpoint other than AWS's own, as AWS's tools read it",
    )

    aws_access_key_id: str | None = Field(
        None,
        pattern="^(A[A-Z0-9]{15,127})?$",
        description="the access key id of Cronally's own identity of AWS, an IAM user that may `sts:AssumeRole` and"
        " nothing else: with it connections have a role without keys",
    )
    aws_secret_access_key: SecretStr | None = Field(
        None,
        description="the secret access key that belongs to `CRONALLY_AWS_ACCESS_KEY_ID`, and counts with it alone: the"
        " command reads the variable, too, for a tenant's own key",
    )
    aws_endpoint_url: str | None = Field(
        None,
        validation_alias="AWS_ENDPOINT_URL",
        description="an endpoint for all of AWS other than AWS's own, SNS included; `AWS_ENDPOINT_URL_SQS` and its like"
        " are for one service, as AWS's tools read them",
    )

    smtp_url: SecretStr | None = Field(
        None,
        description="the SMTP server that mail is handed over to: `smtp://host:587` (STARTTLS) or `smtps://host:465`,"
        " with `user:password@` before the host, percent-encoded, if it asks for that. Without it no mail is sent",
    )
    smtp_sender: Annotated[str | None, BeforeValidator(read_sender)] = Field(
        None, description="the address that mail comes from. Required with `CRONALLY_SMTP_URL`"
    )
    smtp_tls: Literal["required", "off"] = Field(
        "required",
        description="whether mail is handed over with TLS alone; `off` is for a server on this machine or in a network"
        " of its own",
    )
    max_channels_per_account: int = Field(
        20, ge=0, le=100, description="channels, to which alerts go, that an account may have"
    )

    @property
    def aws_identity(self) -> Credentials | None:
        """Cronally's own keys of AWS, if it has any."""
        if not self.aws_access_key_id or self.aws_secret_access_key is None:
            return None
        return Credentials(self.aws_access_key_id, self.aws_secret_access_key.get_secret_value(), None)

    @property
    def aws_endpoints(self) -> Mapping[str, str]:
        """The endpoints of AWS's services by their variables, without SNS's."""
        found = {
            name: text
            for name, text in os.environ.items()
            if name.startswith("AWS_ENDPOINT_URL_") and name != "AWS_ENDPOINT_URL_SNS" and text
        }
        return found | ({"AWS_ENDPOINT_URL": self.aws_endpoint_url} if self.aws_endpoint_url else {})

    @field_validator("aws_endpoint_url_sns", "aws_endpoint_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("write http://host:port or https://host")
        return value or None

    @field_validator("egress_proxy")
    @classmethod
    def _proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        parse_proxy(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _mails(self) -> Self:
        url = self.smtp_url.get_secret_value() if self.smtp_url else ""
        if not url:
            return self
        try:
            parse_smtp_url(url, plain=self.smtp_tls == "off")
        except ValueError as problem:
            raise ValueError(f"CRONALLY_SMTP_URL: {problem}") from None
        if self.smtp_sender is None or self.public_url is None:
            raise ValueError(
                "CRONALLY_SMTP_URL: needs CRONALLY_SMTP_SENDER, the address that mail comes from, and"
                " CRONALLY_PUBLIC_URL, which links in mails begin with"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.signup is None:
            if Role.API in self.roles and not is_loopback(self.host):
                raise ValueError(
                    f"CRONALLY_SIGNUP: {self.host} is not a loopback address; say who may sign up:"
                    " open, verified, token or closed"
                )
            self.signup = "open"
        token = self.signup_token.get_secret_value() if self.signup_token else ""
        if self.signup == "verified" and not (self.smtp_url and self.smtp_url.get_secret_value()):
            raise ValueError(
                "CRONALLY_SIGNUP: verified asks the owner of an address by mail; set CRONALLY_SMTP_URL"
            )
        if token and self.signup in ("open", "verified"):
            raise ValueError(
                "CRONALLY_SIGNUP: anybody may sign up, and no CRONALLY_SIGNUP_TOKEN is asked for;"
                " write CRONALLY_SIGNUP=token, or leave the token out"
            )
        if self.signup == "token" and not token:
            raise ValueError("CRONALLY_SIGNUP_TOKEN: required with CRONALLY_SIGNUP=token")
        if self.signup == "token" and len(token) < MIN_TOKEN:
            raise ValueError(
                f"CRONALLY_SIGNUP_TOKEN: has fewer than {MIN_TOKEN} characters; make one with:"
                " python3 -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        # What a lease has beyond a request is for the claim before it and the record after it.
        if 2 * self.lease < 3 * self.request_timeout:
            raise ValueError(
                "CRONALLY_LEASE: must be half as long again as CRONALLY_REQUEST_TIMEOUT at least"
            )
        if self.egress_proxy_resolves and self.egress_proxy is None:
            raise ValueError("CRONALLY_EGRESS_PROXY_RESOLVES: there is no CRONALLY_EGRESS_PROXY that could")
        secret = self.aws_secret_access_key.get_secret_value() if self.aws_secret_access_key else ""
        if self.aws_access_key_id and secret_key_complaint(secret) is not None:
            raise ValueError(
                "CRONALLY_AWS_SECRET_ACCESS_KEY: give the secret that belongs to CRONALLY_AWS_ACCESS_KEY_ID"
            )
        if not self.roles:
            raise ValueError("CRONALLY_ROLES: name one role at least")
        return self


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is only reachable from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_duration(name: str) -> bool:
    """Whether a setting is a duration: written `90s`, microseconds inside."""
    return any(getattr(part, "func", None) is read_duration for part in Settings.model_fields[name].metadata)

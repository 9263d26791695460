"""The signer against botocore's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sigv4 import Signer
from tests.targets.conftest import ACCESS_KEY_ID, CANARY

_visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_segment = st.from_regex(r"([A-Za-z0-9_~-]|%[0-9A-F]{2}|[:@!$&'()*+,;=]){1,6}", fullmatch=True)
_path = st.lists(_segment | st.just(""), max_size=4).map(lambda parts: "/" + "/".join(parts))
_pair = st.tuples(
    st.from_regex(r"([a-zA-Z0-9~-]|%2[0-9A-F]){1,4}", fullmatch=True),
    st.none() | st.from_regex("([a-z0-9]|%[23]F){0,4}", fullmatch=True),
)
_query = st.lists(_pair, max_size=4).map(
    lambda pairs: "&".join(name if value is None else f"{name}={value}" for name, value in pairs)
)
_headers = st.dictionaries(
    st.from_regex(r"(x-amz-[a-z]{1,9}|content-type|content-md5|accept)", fullmatch=True).filter(
        lambda name: name not in ("x-amz-date", "x-amz-security-token")
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12),
    max_size=4,
)


def _by_botocore(
    key: str,
    secret: str,
    region: str,
    service: str,
    method: str,
    target: str,
    signed: Mapping[str, str],
    body: bytes,
) -> str:
    headers = dict(signed)
    host = headers.pop("host")
    request = AWSRequest(method, f"https://{host}{target}", headers={**headers, "Host": host}, data=body)
    request.context["timestamp"] = signed["x-amz-date"]
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(key, secret), service, region)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"


def _sign(signer: Signer, secret: str = CANARY, timestamp: str = "20261124T080000Z", **changes: Any) -> str:
    values: dict[str, Any] = {"access_key_id": ACCESS_KEY_ID, "region": "eu-west-1", "service": "sns"}
    headers = {"host": "sns.eu-west-1.amazonaws.com", "x-amz-date": timestamp}
    return signer.authorization(
        secret_access_key=secret, body=b"Action=Publish", headers=headers, **{**values, **changes}
    )


@given(
    requests=st.lists(
        st.tuples(
            st.sampled_from(["AKIAIOSFODNN7EXAMPLE", "AKIA0000000000000001"]),
            st.text(_visible, min_size=1, max_size=3) | st.text(_visible, min_size=1, max_size=128),
            st.sampled_from(["us-east-1", "cn-north-1", "us-gov-west-1"]),
            st.sampled_from(["sns", "s3", "execute-api"]),
            st.sampled_from(["POST", "GET", "PUT", "DELETE"]),
            st.tuples(_path, _query),
            st.from_regex(r"[a-z0-9-]{1,20}\.[a-z]{2,10}(:[1-9][0-9]{3})?", fullmatch=True),
            st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)),
            _headers,
            st.binary(max_size=300),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_authorization__is_botocores(requests: list[tuple[Any, ...]]) -> None:
    signer = Signer(capacity=2)  # so that keys come, go and come back within one example
    for key, secret, region, service, method, (path, query), host, moment, others, body in requests:
        signed = {**others, "host": host, "x-amz-date": moment.strftime("%Y%m%dT%H%M%SZ")}
        signed.pop("x-amz-content-sha256", None)
        signed = dict(sorted(signed.items()))
        target = f"{path}?{query}" if query else path
        ours = signer.authorization(
            access_key_id=key,
            secret_access_key=secret,
            region=region,
            service=service,
            method=method,
            target=target,
            headers=signed,
            body=body,
            escape_path=service != "s3",
        )
        assert ours == _by_botocore(key, secret, region, service, method, target, signed, body)


def test_cache__key_is_derived_once_a_day() -> None:
    signer = Signer()
    _sign(signer)
    _sign(signer, timestamp="20261124T235959Z")
    assert repr(signer) == "<Signer of 1 keys>"


def test_cache__differs_by_secret_region_service_and_access_key() -> None:
    signer = Signer()
    signatures = {
        _sign(signer),
        _sign(signer, secret="another"),
        _sign(signer, region="us-east-1"),
        _sign(signer, service="sqs"),
        _sign(signer, access_key_id="AKIA0000000000000001"),
    }
    assert len(signatures) == 5
    assert repr(signer) == "<Signer of 5 keys>"


def test_cache__yesterdays_keys_are_dropped() -> None:
    signer = Signer()
    _sign(signer, secret="one")
    _sign(signer, secret="two")
    _sign(signer, secret="two", timestamp="20261125T000000Z")
    assert repr(signer) == "<Signer of 1 keys>"


def test_cache__is_bounded() -> None:
    signer = Signer(capacity=3)
    for number in range(10):
        _sign(signer, secret=f"secret {number}")
    assert repr(signer) == "<Signer of 3 keys>"


def test_cache__holds_no_secret() -> None:
    signer = Signer()
    _sign(signer)
    kept = repr(vars(signer))
    assert CANARY not in kept
    assert CANARY not in repr(signer)

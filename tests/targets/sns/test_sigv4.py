"""The signer against botocore's."""

from __future__ import annotations

from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.sigv4 import CONTENT_TYPE, Signer
from tests.targets.conftest import ACCESS_KEY_ID, CANARY

_visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)


def _by_botocore(
    key: str,
    secret: str,
    region: str,
    host: str,
    timestamp: str,
    body: bytes,
    token: str | None,
    service: str,
) -> str:
    headers = {"Content-Type": CONTENT_TYPE, "Host": host, "X-Amz-Date": timestamp}
    if token is not None:
        headers["X-Amz-Security-Token"] = token
    request = AWSRequest("POST", f"https://{host}/", headers=headers, data=body)
    request.context["timestamp"] = timestamp
    auth = SigV4Auth(Credentials(key, secret), service, region)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}"


def _sign(signer: Signer, secret: str = CANARY, **changes: str) -> str:
    values = {
        "access_key_id": ACCESS_KEY_ID,
        "region": "eu-west-1",
        "host": "sns.eu-west-1.amazonaws.com",
        "timestamp": "20261124T080000Z",
    }
    return signer.authorization(secret_access_key=secret, body=b"Action=Publish", **{**values, **changes})


@given(
    requests=st.lists(
        st.tuples(
            st.sampled_from(["AKIAIOSFODNN7EXAMPLE", "AKIA0000000000000001"]),
            st.text(_visible, min_size=1, max_size=3) | st.text(_visible, min_size=1, max_size=128),
            st.sampled_from(["us-east-1", "cn-north-1", "us-gov-west-1"]),
            st.from_regex(r"[a-z0-9-]{1,20}\.[a-z]{2,10}(:[1-9][0-9]{3})?", fullmatch=True),
            st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)),
            st.binary(max_size=300),
            st.none() | st.text(_visible, min_size=1, max_size=40),
            st.sampled_from(["sns", "sts"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_authorization__is_botocores(
    requests: list[tuple[str, str, str, str, datetime, bytes, str | None, str]],
) -> None:
    signer = Signer(capacity=2)  # so that keys come, go and come back within one example
    for key, secret, region, host, moment, body, token, service in requests:
        timestamp = moment.strftime("%Y%m%dT%H%M%SZ")
        ours = signer.authorization(
            access_key_id=key,
            secret_access_key=secret,
            region=region,
            host=host,
            timestamp=timestamp,
            body=body,
            session_token=token,
            service=service,
        )
        assert ours == _by_botocore(key, secret, region, host, timestamp, body, token, service)


def test_cache__key_is_derived_once_a_day() -> None:
    signer = Signer()
    _sign(signer)
    _sign(signer, timestamp="20261124T235959Z")
    assert repr(signer) == "<Signer of 1 keys>"


def test_cache__differs_by_secret_region_and_access_key() -> None:
    signer = Signer()
    signatures = {
        _sign(signer),
        _sign(signer, secret="another"),
        _sign(signer, region="us-east-1"),
        _sign(signer, access_key_id="AKIA0000000000000001"),
    }
    assert len(signatures) == 4
    assert repr(signer) == "<Signer of 4 keys>"


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

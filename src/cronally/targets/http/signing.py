"""The signatures of a request: as Standard Webhooks says, as message signatures of HTTP, or both.

Invariant: pure. A cron job's own secret signs as Standard Webhooks says; how the secret of a connection signs, the
connection says, which has ids for its keys. What signs a request nobody replaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cronally.contract.connections import SignatureFormat
from cronally.message_signatures import (
    ALGORITHMS,
    DIGEST_HEADER,
    INPUT_HEADER,
    SIGNATURE_HEADER,
    TAG,
    Request,
    base_of,
    components_of,
    digest_of,
    parameters_of,
)
from cronally.structured_fields import write, write_dictionary
from cronally.targets.http import signatures
from cronally.targets.http.content import with_own
from cronally.targets.http.signing_keys import FORMAT, ID, KEYS
from cronally.targets.url import Url

LABELS: Final = ("cronally", "cronally-previous")
"""Of the signatures that are made with the new secret and with the former one."""
HEADERS: Final = frozenset({DIGEST_HEADER, INPUT_HEADER, SIGNATURE_HEADER})
"""What message signatures take, in lower case."""
_NAMES: Final[Mapping[str, str]] = {
    DIGEST_HEADER: "Content-Digest",
    INPUT_HEADER: "Signature-Input",
    SIGNATURE_HEADER: "Signature",
}


def signed(
    headers: dict[str, str],
    *,
    public: Mapping[str, Any],
    secrets: Sequence[str],
    method: str,
    url: Url,
    body: bytes | None,
    message_id: str,
    second: int,
) -> dict[str, str]:
    """The headers of a request with its signatures. Raises ValueError for a secret that is none.

    :param public: of the destination, with the format and the keys of its connection
    :param secrets: one at least, of `signatures.secrets_of`
    :param second: of the attempt, since 1970
    """
    form = public.get(FORMAT, SignatureFormat.STANDARD_WEBHOOKS)
    if form != SignatureFormat.MESSAGE_SIGNATURES:
        headers = headers | signatures.sign(secrets, message_id, second, body or b"")
    if form != SignatureFormat.STANDARD_WEBHOOKS:
        ids = [key[ID] for key in public[KEYS]]
        headers = _with_message_signatures(headers, secrets, ids, method, url, body or b"", second)
    return headers


def _with_message_signatures(
    headers: dict[str, str],
    secrets: Sequence[str],
    ids: Sequence[str],
    method: str,
    url: Url,
    body: bytes,
    second: int,
) -> dict[str, str]:
    headers = with_own(headers, {_NAMES[DIGEST_HEADER]: digest_of(body)})
    request = Request(
        method, url.authority, url.target, {name.lower(): value for name, value in headers.items()}
    )
    components, inputs, found = components_of(request), {}, {}
    # A former secret without an id signed nothing of the kind, so nobody has it to check with.
    for label, secret, key_id in zip(LABELS, secrets, ids, strict=False):
        signer = signatures.signer_of(secret)
        algorithm = ALGORITHMS[signer.version]
        values: dict[str, str | int] = {"created": second, "keyid": key_id, "alg": algorithm, "tag": TAG}
        inputs[label] = parameters_of(components, values)
        found[label] = write(signer.sign(base_of(request, inputs[label])))
    return with_own(
        headers,
        {
            _NAMES[INPUT_HEADER]: write_dictionary(inputs),
            _NAMES[SIGNATURE_HEADER]: write_dictionary(found),
        },
    )

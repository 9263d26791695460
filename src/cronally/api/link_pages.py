"""The pages that people see who open a link of a mail: a button, and what came of pressing it.

Invariant: no script, no picture, no font, and one style, which the policy names by its digest. A page loads nothing
from anywhere and may stand in no other one, it is kept by nobody, and no link leads away from it that would tell where
it was. The first page is the same for every token of a purpose: to show it nothing is looked up, so programs that
follow links in mails use up nothing and learn nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cronally import errors
from cronally.contract.keys import Key
from cronally.contract.mailed_links import REVOKE_OTHERS, LinkPurpose, UsedLink

_STYLE: Final = (
    ":root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }"
    " body { max-width: 40rem; margin: 0 auto; padding: 1rem }"
    " button { font: inherit; padding: 0.5rem 1rem }"
    " code { font: 0.9em/1.5 ui-monospace, monospace; overflow-wrap: anywhere }"
)
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
)
_ASKED: Final[Mapping[LinkPurpose | None, tuple[str, str]]] = {
    LinkPurpose.SIGNUP: (
        "Create the account that was asked for with this address, and show its API key and secret, once.",
        "Create the account",
    ),
    LinkPurpose.RECOVER: (
        "Make a new API key for the account with this address, and show it with its secret, once.",
        "Make a new API key",
    ),
    LinkPurpose.CONFIRM: (
        "Confirm that the account with this address is yours.",
        "Confirm the address",
    ),
    LinkPurpose.CHANGE: ("Confirm that an account is to have this address.", "Confirm the address"),
    LinkPurpose.AGREE: ("Let the account with this address have another one.", "Agree"),
    LinkPurpose.REFUSE: ("Let the account keep this address.", "Refuse the other address"),
    None: ("This is no link of a mail of Cronally. Open it whole, as it stands in the mail.", ""),
}
"""What a page asks, and what stands on its button, by what the link is for."""
_MORE: Final[Mapping[LinkPurpose | None, str]] = {
    LinkPurpose.RECOVER: f'<p><label><input type="checkbox" name="{REVOKE_OTHERS}" value="true"> End all other API keys'
    " of the account: they were stolen, or I do not need them</label></p>"
}
"""HTML: what else can be chosen."""


class Page(Response):
    """A page with its headers."""

    def __init__(self, body: str, status: int = 200) -> None:
        """
        :param body: HTML
        """
        page = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Cronally</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f"<body><h1>Cronally</h1>\n{body}\n</body></html>\n"
        )
        self.status_code = status
        self.background = None
        self.body = page.encode()
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(self.body))]


def wants_page(request: Request) -> bool:
    """Whether a browser asks: programs do not accept HTML without asking for JSON, or for anything."""
    return "text/html" in request.headers.get("accept", "")


def asking_page(purpose: LinkPurpose | None) -> Response:
    """The page behind a link."""
    text, button = _ASKED[purpose]
    if not button:
        return Page(f"<p>{escape(text)}</p>", errors.NotFound.status)
    return Page(
        f"<p>{escape(text)}</p>\n"
        f'<form method="post" action="">{_MORE.get(purpose, "")}'
        f'<button type="submit">{escape(button)}</button></form>\n'
        "<p>If you have not asked for this, close the page: nothing happens.</p>"
    )


def used_page(used: UsedLink) -> Response:
    """The page that says what a link has done."""
    return Page("\n".join(_used(used)))


def _used(used: UsedLink) -> Iterator[str]:
    yield f"<p>{escape(used.message)}</p>"
    rows = (
        ("Email", used.email),
        ("Account", used.account_id),
        ("API key", used.api_key),
        ("API secret", used.api_secret),
    )
    cells = [f"<dt>{name}</dt><dd><code>{escape(text)}</code></dd>" for name, text in rows if text]
    yield f"<dl>{''.join(cells)}</dl>"
    if used.keys is not None:
        listed = "".join([f"<li>{_key(key)}</li>" for key in used.keys])
        yield f"<p>All API keys of the account:</p><ul>{listed}</ul>"


def _key(key: Key) -> str:
    used = "never" if key.last_used_at is None else f"{key.last_used_at:%Y-%m-%d %H:%M} UTC"
    state = f"{key.state}, made {key.created_at:%Y-%m-%d %H:%M} UTC, last used {used}"
    return f"{escape(key.name)}: <code>{escape(key.api_key)}</code>, {escape(state)}"


def failed_page(error: errors.RequestError) -> Response:
    """The page that says why a link did nothing."""
    return Page(f"<p>{escape(str(error))}</p>", error.status)

"""Everything that Cronally can tell a caller went wrong.

The tree (a test holds this picture to the code)::

    CronallyError
      x RequestError                 an answer with a status; raised by the server, and by the client
          InvalidRequest             400
              InvalidExpression      400, an expression that is malformed or never fires
              VerificationFailed     400, a target that did not take the test message of `verify`
          Unauthorized               401
          Forbidden                  403
              AccountSuspended       403, nothing of the account fires, and its requests are refused
          NotFound                   404
          MethodNotAllowed           405
          Conflict                   409
          PayloadTooLarge            413
          UnsupportedMediaType       415
          MisdirectedRequest         421
          RateLimited                429
          HeadersTooLarge            431
          InternalError              500
          Unavailable                503
          HttpVersionNotSupported    505
      x SettingsError                the server's settings cannot be used
      x SealingError                 a sealed secret cannot be opened or a sealing key is no key
      x StoreError                   the database refuses to be used, for example held by another server
      x Unconfirmed                  the client has asked for an account, which a link in a mail makes
      x UnexpectedAnswer             the client got something that is no answer of Cronally
      x Unreachable                  the client got no answer

Invariant: the docstring of an error is its default message, and a message says what to do. No message ever
holds a secret: the code that raises an error puts names and limits into it, not values of secret parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from cronally.wire import Limit

if TYPE_CHECKING:
    from cronally.cron.hints import Hint


class CronallyError(Exception):
    """Something went wrong in Cronally."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.message)


class RequestError(CronallyError):
    """The request was not carried out."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        """
        :param fields: what is wrong with each parameter, by the parameter's name
        :param retry_after: whole seconds after which the same request may succeed
        """
        super().__init__(message)
        self.fields = dict(fields or {})
        self.retry_after = retry_after

    def __str__(self) -> str:
        """The message, with what it does not say of the parameters."""
        unsaid = [f"{name}: {text}" for name, text in self.fields.items() if text not in self.message]
        return f"{self.message} ({'; '.join(unsaid)})" if unsaid else self.message


class InvalidRequest(RequestError):
    """The request has parameters that cannot be used; `fields` names each of them."""

    status = 400
    code = "invalid_request"


class InvalidExpression(InvalidRequest):
    """The expression is not a cron expression of five fields, such as `0 8 * * *`."""

    code = "invalid_expression"

    def __init__(
        self,
        message: str | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        hints: Sequence[Hint] = (),
    ) -> None:
        """
        :param hints: what to write instead; a message that says so has been made of them by `cron.hints`
        """
        super().__init__(message, fields=fields, retry_after=retry_after)
        self.hints = tuple(hints)


class VerificationFailed(InvalidRequest):
    """The target did not take the test message, and nothing was stored."""

    code = "verification_failed"


class Unauthorized(RequestError):
    """The request is not signed by a known API key."""

    status = 401
    code = "unauthorized"


class Forbidden(RequestError):
    """The account may not do this."""

    status = 403
    code = "forbidden"


class AccountSuspended(Forbidden):
    """The server's operator has suspended the account; ask them."""

    code = "account_suspended"


class NotFound(RequestError):
    """There is nothing at this address."""

    status = 404
    code = "not_found"


class MethodNotAllowed(RequestError):
    """This address does not answer this method; the Allow header lists those that it does."""

    status = 405
    code = "method_not_allowed"


class Conflict(RequestError):
    """Somebody else has changed this at the same time; look at it, and try again."""

    status = 409
    code = "conflict"


class PayloadTooLarge(RequestError):
    """The body is larger than 1 MiB; send less."""

    status = 413
    code = "payload_too_large"


class UnsupportedMediaType(RequestError):
    """Send the parameters as application/x-www-form-urlencoded or as a JSON object (application/json)."""

    status = 415
    code = "unsupported_media_type"


class MisdirectedRequest(RequestError):
    """This server does not answer to the name in the Host header; its operator lists its names in CRONALLY_HOSTS."""

    status = 421
    code = "misdirected_request"


class RateLimited(RequestError):
    """Too many requests; try again after the number of seconds in Retry-After."""

    status = 429
    code = "rate_limited"

    def __init__(
        self,
        message: str | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        limit: Limit | None = None,
    ) -> None:
        """
        :param limit: which limit is reached
        """
        super().__init__(message, fields=fields, retry_after=retry_after)
        self.limit = limit


class HeadersTooLarge(RequestError):
    """The request's headers are larger than 16 KiB; send less."""

    status = 431
    code = "headers_too_large"


class InternalError(RequestError):
    """Cronally failed to answer; the error is in the server's log. Try again, then tell its operator."""

    status = 500
    code = "internal_error"


class Unavailable(RequestError):
    """The database does not answer right now; try again in a moment."""

    status = 503
    code = "unavailable"


class HttpVersionNotSupported(RequestError):
    """This server speaks HTTP/1.1 and HTTP/1.0."""

    status = 505
    code = "http_version_not_supported"


class SettingsError(CronallyError):
    """The settings cannot be used."""


class SealingError(CronallyError):
    """A sealed secret cannot be opened with the sealing keys of this server."""


class StoreError(CronallyError):
    """The database cannot be used."""


class Unconfirmed(CronallyError):
    """The account is made by a link that this server has mailed to its address: use the link (`use_link`)."""


class UnexpectedAnswer(CronallyError):
    """The server's answer is not one of Cronally's; check the URL."""


class Unreachable(CronallyError):
    """The server does not answer; check the URL and that it is running."""

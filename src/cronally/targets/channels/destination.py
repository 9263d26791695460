"""Where an alert goes: what a channel holds, as a target takes it.

Invariant: pure, and the only place that makes a destination of a channel; so alerts go through the targets that firings
go through, with their rules of egress. What is secret of a channel is secret of its destination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cronally.alert import Alert, fit
from cronally.contract.channels import Kind
from cronally.targets.channels.formats import body_of
from cronally.targets.channels.texts import json_of
from cronally.targets.connected import Held, connect
from cronally.targets.http.signatures import NONE, OWN
from cronally.targets.target import Destination, Message

URL: Final = "webhook_url"
SIGNING_SECRET: Final = "signing_secret"  # noqa: S105 - a parameter's name
FORMAT: Final = "format"
_SUBJECT: Final = 99
"""Characters: less than 100 (https://docs.aws.amazon.com/sns/latest/api/API_Publish.html)."""


def destination_of(
    alert: Alert, kind: str, public: Mapping[str, Any], secret: Mapping[str, str], held: Held | None
) -> Destination:
    """The destination of an alert with a channel that is no mail. Raises NotConnected.

    :param public: what may be shown of the channel
    :param secret: what is sealed of it
    :param held: the connection that it uses, if it uses one
    """
    if kind == Kind.SNS:
        given = {
            name: public[name] for name in ("sns_topic", "sns_region", "sns_access_key_id") if name in public
        }
        of_sns = {**given, "sns_message": json_of(alert), "sns_subject": fit(alert.title, _SUBJECT)}
        made = Destination("sns", of_sns, secret, alert.account_id)
        return made if held is None else connect(made, held)
    body = json_of(alert) if kind == Kind.HTTP else body_of(alert, public[FORMAT])
    of_http = {
        "delivery_http_url": public[URL],
        "delivery_http_method": "post",
        "delivery_http_body": body,
        "delivery_http_content_type": "application/json",
        "delivery_http_keep_answer": "never",
    }
    sealed = {"delivery_http_url": secret[URL], OWN: secret.get(SIGNING_SECRET, NONE)}
    return Destination("http", of_http, sealed, alert.account_id)


def message_of(alert: Alert, channel_id: str, attempt: int) -> Message:
    """What is sent of an alert in one attempt."""
    return Message(alert.alert_id, channel_id, alert.title, alert.created_at, attempt, alert=True)

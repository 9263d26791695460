"""The bodies that the incoming webhooks of chat services take.

Invariant: pure. A body is JSON within the limits that a service documents, and what an alert says of a cron job, whose
name anybody with a key chose, calls nobody: no `@channel`, no `<!here>`, no `@everyone`.

Sources: Slack, https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (`text`) and
https://docs.slack.dev/messaging/formatting-message-text (`&`, `<`, `>` are escaped; longer than 40,000 characters is
cut, 4,000 are recommended). Mattermost, https://developers.mattermost.com/integrate/webhooks/incoming (`text`, up to
16,383 characters). Discord, https://docs.discord.com/developers/resources/webhook (`content`, up to 2,000 characters;
`allowed_mentions`; flag 4 is SUPPRESS_EMBEDS). Teams,
https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using (a message
with an adaptive card, up to 28 KB).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cronally.alert import Alert
from cronally.targets.channels.texts import text_of

SLACK: Final = "slack"
MATTERMOST: Final = "mattermost"
DISCORD: Final = "discord"
TEAMS: Final = "teams"

_SLACK_TEXT: Final = 4000
_MATTERMOST_TEXT: Final = 16_383
_DISCORD_TEXT: Final = 2000
_TEAMS_TEXT: Final = 6000
"""Characters: of four bytes each these are 24 KB."""
_SUPPRESS_EMBEDS: Final = 4
_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"
_BREAK: Final = "\N{ZERO WIDTH SPACE}"


def body_of(alert: Alert, form: str) -> str:
    """What is posted to a webhook of a service."""
    return json.dumps(_FORMS[form](alert), ensure_ascii=False, separators=(",", ":"))


def _slack(alert: Alert) -> dict[str, Any]:
    text = f"*{_escaped(alert.title)}*\n{_escaped(text_of(alert))}"
    return {"text": _cut(text, _SLACK_TEXT), "unfurl_links": False, "unfurl_media": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mattermost(alert: Alert) -> dict[str, Any]:
    text = f"**{alert.title}**\n{text_of(alert)}"
    return {"text": _cut(text.replace("@", f"@{_BREAK}"), _MATTERMOST_TEXT)}


def _discord(alert: Alert) -> dict[str, Any]:
    text = f"**{alert.title}**\n{text_of(alert)}"
    return {
        "content": _cut(text, _DISCORD_TEXT),
        "allowed_mentions": {"parse": []},
        "flags": _SUPPRESS_EMBEDS,
    }


def _teams(alert: Alert) -> dict[str, Any]:
    def block(text: str, **look: Any) -> dict[str, Any]:
        return {"type": "TextBlock", "text": text, "wrap": True, **look}

    # A line end is a paragraph only where there are two.
    text = _cut(text_of(alert), _TEAMS_TEXT).replace("\n", "\n\n")
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [block(alert.title, weight="Bolder", size="Medium"), block(text)],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def _cut(text: str, most: int) -> str:
    """A text of so many characters at most, as JavaScript counts them: those outside the first plane are two."""
    count = 0
    for place, character in enumerate(text):
        count += 1 if character <= "\uffff" else 2
        if count > most - 1 and (place < len(text) - 1 or count > most):
            return text[:place] + _CUT
    return text


_FORMS: Final[Mapping[str, Callable[[Alert], dict[str, Any]]]] = {
    SLACK: _slack,
    MATTERMOST: _mattermost,
    DISCORD: _discord,
    TEAMS: _teams,
}

"""What webhooks of chat services get: as their documentation says, within its limits, and calling nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.alert import Affected, Alert, Event
from cronally.targets.channels.formats import body_of
from cronally.targets.channels.texts import json_of, text_of
from tests.support.factories import NOON, uuid_of

FORMS = ["slack", "mattermost", "discord", "teams"]
LIMITS = {"slack": 4000, "mattermost": 16_383, "discord": 2000}
"""Characters, as their documentation says: `formats` names it."""
TEAMS_BYTES = 28 * 1024


def made(
    title: str = "Reports failed", lines: list[str] | None = None, names: list[str] | None = None
) -> Alert:
    return Alert(
        alert_id=uuid_of("alert"),
        account_id=uuid_of("a"),
        condition="failure",
        event=Event.BEGAN,
        subject_kind="cronjob",
        subject_id=uuid_of("c"),
        title=title,
        lines=["HTTP 503"] if lines is None else lines,
        affected=[Affected(uuid_of(f"c{number}"), name) for number, name in enumerate(names or [])],
        created_at=NOON,
    )


def parsed(form: str, alert: Alert) -> Any:
    return json.loads(body_of(alert, form))


def test_slack__is_a_text_with_its_three_characters_escaped() -> None:
    """https://docs.slack.dev/messaging/formatting-message-text: `&`, `<` and `>`, no other HTML entities."""
    sent = parsed("slack", made("<!channel> & <https://evil.example|ok>"))
    assert sent.keys() == {"text", "unfurl_links", "unfurl_media"}
    assert sent["text"].startswith("*&lt;!channel&gt; &amp; &lt;https://evil.example|ok&gt;*\nHTTP 503")


def test_mattermost__mentions_nobody() -> None:
    sent = parsed("mattermost", made("@channel @all @here", names=["@admin"]))
    assert sent.keys() == {"text"}
    assert not any(word in sent["text"] for word in ("@channel", "@all", "@here", "@admin"))


def test_discord__allows_no_mentions() -> None:
    """https://docs.discord.com/developers/resources/message#allowed-mentions-object: an empty `parse` allows none."""
    sent = parsed("discord", made("@everyone"))
    assert sent["allowed_mentions"] == {"parse": []}
    assert sent["flags"] == 4


def test_teams__is_a_message_with_one_adaptive_card() -> None:
    """As the example of
    https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using."""
    sent = parsed("teams", made())
    assert sent["type"] == "message"
    (attachment,) = sent["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.2")
    assert card["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
    assert [block["type"] for block in card["body"]] == ["TextBlock", "TextBlock"]
    assert card["body"][0]["text"] == "Reports failed"


TEXT = st.text(max_size=600)


@pytest.mark.parametrize("form", FORMS)
@given(
    TEXT,
    st.lists(TEXT, max_size=50),
    st.lists(TEXT, max_size=60),
    st.sampled_from(["", "🍵" * 500, "茶" * 500]),
)
def test_bodies__are_within_the_limits(
    form: str, title: str, lines: list[str], names: list[str], filler: str
) -> None:
    alert = made(title, [line + filler for line in lines], names)
    body = body_of(alert, form)
    sent = json.loads(body)
    if form == "teams":
        assert len(body.encode()) <= TEAMS_BYTES
    else:
        text = sent["content" if form == "discord" else "text"]
        assert 0 < len(text.encode("utf-16-le")) // 2 <= LIMITS[form]
    assert json.loads(json_of(alert))["alert_id"] == alert.alert_id


def test_text__lists_some_of_many() -> None:
    alert = made(names=[f"job {number}" for number in range(25)])
    text = text_of(alert)
    assert text.count("\n- ") == 20
    assert "and 5 more" in text
    assert f"Alert {alert.alert_id}" in text

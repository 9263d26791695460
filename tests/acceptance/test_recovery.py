"""A new user loses their keys and gets back in: the real server, the real CLI, a real SMTP server, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.support.cronally_server import cronally_server
from tests.support.mailboxes import links_of, running_mailbox, text_of


def test_new_user__loses_the_keys_and_gets_back_in(tmp_path: Path) -> None:
    with running_mailbox() as mailbox:
        settings = {
            "CRONALLY_DATABASE_URL": f"sqlite:///{tmp_path}/cronally.db",
            "CRONALLY_SIGNUP": "verified",
            "CRONALLY_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
            "CRONALLY_SMTP_TLS": "off",
            "CRONALLY_SMTP_SENDER": "cron@example.com",
            "CRONALLY_PUBLIC_URL": "https://cron.example.com",
        }
        with cronally_server(tmp_path, settings) as server:
            asked = server.cli("signup", "me@example.com")
            assert asked.returncode == 0, asked.stderr
            assert "A mail is on its way to me@example.com" in asked.stdout
            assert server.cli("account").returncode == 1, "there is no account yet"
            (link,) = links_of(text_of(mailbox))
            made = server.cli("account", "confirm", link)
            assert made.returncode == 0, made.stderr
            put = server.cli("calendars", "set", "holidays", "2026-12-25")
            assert put.returncode == 0, put.stderr

            credentials = tmp_path / ".config" / "cronally" / "credentials"
            lost = credentials.read_text()
            credentials.unlink()
            assert server.cli("account").returncode == 1

            assert server.cli("account", "recover", "me@example.com").returncode == 0
            (link,) = links_of(text_of(mailbox))
            back = server.cli("account", "confirm", link, "--revoke-others")
            assert back.returncode == 0, back.stderr
            assert "holidays" in server.cli("calendars").stdout, "it is the same account"
            assert credentials.read_text() != lost
            twice = server.cli("account", "confirm", link, "--force")
            assert twice.stderr.startswith("error: The link was used already, or it is over")
            credentials.write_text(lost)
            assert "does not know this API key" in server.cli("account").stderr
            logged = server.process.output()
        token = link.rstrip("/").rpartition("/")[2]
        assert token.partition("-")[2] not in logged
        assert "Traceback" not in logged

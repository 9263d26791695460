"""A webhook seen without an account anywhere: server, listener and command line on one machine, over real sockets."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from cronally.vault import new_sealing_key
from tests.support.cronally_server import cronally_server
from tests.support.server_process import server_process

LISTEN = [sys.executable, "-m", "cronally.cli", "listen", "--fail", "503", "--times", "1", "--count", "2"]


def test_listen__shows_a_firing_that_fails_once(tmp_path: Path) -> None:
    settings = {
        "CRONALLY_DATABASE_URL": f"sqlite:///{tmp_path / 'cronally.db'}",
        "CRONALLY_SEALING_KEYS": new_sealing_key(),
        "CRONALLY_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32",
    }
    log = tmp_path / "listen.log"
    with (
        cronally_server(tmp_path, settings) as server,
        server_process([*LISTEN, "--json"], log=log, cwd=tmp_path) as listener,
    ):
        listener.wait_until(lambda: "cronally run hello" in listener.output())
        # What it says is what is done.
        advised = re.search(r"^  cronally (add --name hello .*)$", listener.output(), re.MULTILINE)
        assert advised is not None
        assert server.cli("signup", "username@example.com").returncode == 0
        added = server.cli(*[word.strip("'") for word in re.findall(r"'[^']+'|\S+", advised[1])])
        assert added.returncode == 0, added.stderr
        done = server.cli("run", "hello", "--wait", "--json")
        assert done.returncode == 0, done.stderr
        firing = json.loads(done.stdout)["response"]
        assert listener.wait(60) == 0
        first, second = [json.loads(line) for line in listener.output().splitlines() if line.startswith("{")]
    assert (first["answered"], second["answered"]) == (503, 200)
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert (first["times_before"], second["times_before"]) == (0, 1)
    assert first["firing_id"] == second["firing_id"] == firing["firing_id"]
    assert second["cronjob_name"] == "hello"
    assert second["scheduled_at"] == firing["scheduled_at"]
    assert second["lateness_ms"] >= 0
    assert json.loads(second["body"])["attempt"] == 2
    assert [attempt["detail"] for attempt in firing["attempts"]][:1] == ["HTTP 503"]

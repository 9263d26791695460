"""What the connections of a session share, and that it is no more."""

from __future__ import annotations

from contextlib import ExitStack

from sqlalchemy import create_engine, literal, select


def test_compiled_once__for_all_engines_of_a_kind() -> None:
    with ExitStack() as opened:
        connections = []
        for _ in range(2):
            engine = create_engine("sqlite://")
            opened.callback(engine.dispose)
            connections.append(opened.enter_context(engine.connect()))
        first, second = connections
        compiled = first.get_execution_options()["compiled_cache"]
        assert compiled is second.get_execution_options()["compiled_cache"]
        assert first.execute(select(literal(1) + 1)).scalar() == 2
        held = len(compiled)
        assert second.execute(select(literal(5) + 1)).scalar() == 6
        assert len(compiled) == held
        first.exec_driver_sql("CREATE TABLE own (id INTEGER)")
        assert second.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0

"""What a restored installation goes on with."""

from __future__ import annotations

from pathlib import Path

from warehouse.backup import backup, restore
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

NEXT = "select nextval('ledger.attempt_numbers')"


def test_attempts_after_a_restore_are_numbered_after_those_before(settings: Settings, tmp_path: Path) -> None:
    """The ledger's state is the newest attempt by number: begun anew, old attempts would win over new ones."""
    with connect(settings) as con:
        ensure_state(con, settings)
        before = [con.execute(NEXT).fetchall()[0][0] for _ in range(5)]
    backup(settings, tmp_path / "backup")
    elsewhere = Settings(home=tmp_path / "elsewhere", target="prod")
    restore(elsewhere, tmp_path / "backup")
    with connect(elsewhere) as con:
        ensure_state(con, elsewhere)
        assert con.execute(NEXT).fetchall()[0][0] > max(before)
    # and once more, on numbers that a restore set
    backup(elsewhere, tmp_path / "again")
    restore(elsewhere, tmp_path / "again", replace=True)
    with connect(elsewhere) as con:
        numbers = [con.execute(NEXT).fetchall()[0][0] for _ in range(2)]
    assert numbers[0] > max(before) + 1
    assert numbers[1] == numbers[0] + 1

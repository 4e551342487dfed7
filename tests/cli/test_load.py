"""`load --withdraw`: the way back that the gate names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Outcome

Call = Callable[..., Outcome]


def test_a_load_can_be_taken_out_and_come_again(mailwright: Call, tmp_path: Path) -> None:
    file = tmp_path / "orders_of_a_friend.csv"
    file.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    home = tmp_path / "home"
    load_id = mailwright("load", str(file), "--json", home=home).document["loads"][0]["load_id"]
    out = mailwright("load", "--withdraw", load_id, "--json", home=home)
    assert out.code == 0, out.stderr
    assert out.document["rows"] == 2
    again = mailwright("load", str(file), "--json", home=home).document
    assert len(again["loads"]) == 1
    assert again["loads"][0]["load_id"] != load_id


def test_one_or_the_other(mailwright: Call, tmp_path: Path) -> None:
    for args in (("load",), ("load", "x.csv", "--withdraw", "load_1")):
        outcome = mailwright(*args, home=tmp_path)
        assert outcome.code == 2
        assert "Name what to load, or a load to withdraw." in outcome.stderr
    missing = mailwright("load", "--withdraw", "load_none", home=tmp_path)
    assert missing.code == 3
    assert "no load 'load_none'" in missing.stderr

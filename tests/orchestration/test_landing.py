"""What counts as a new file, without Dagster."""

from __future__ import annotations

import os
from pathlib import Path

from orchestration.landing import (
    Seen,
    compare,
    file_sha256,
    from_cursor,
    landed_files,
    run_key,
    settled,
    to_cursor,
)


def look(folder: Path, before: dict[str, Seen]) -> tuple[dict[str, Seen], list[str]]:
    return compare(before, landed_files(folder), lambda name: file_sha256(folder / name))


def test_an_absent_folder_is_empty(tmp_path: Path) -> None:
    assert landed_files(tmp_path / "none") == {}


def test_unfinished_files_are_not_seen(tmp_path: Path) -> None:
    (tmp_path / ".part").write_text("x")
    (tmp_path / "_work").mkdir()
    (tmp_path / "_work" / "a.csv").write_text("x")
    (tmp_path / "shop_orders").mkdir()
    (tmp_path / "shop_orders" / "day.csv").write_text("x")
    assert list(landed_files(tmp_path)) == ["shop_orders/day.csv"]


def test_a_file_is_new_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    seen, fresh = look(tmp_path, {})
    assert fresh == ["a.csv"]
    assert look(tmp_path, seen) == (seen, [])


def test_touching_or_renaming_is_no_news_but_changing_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1")
    seen, _ = look(tmp_path, {})
    os.utime(path, ns=(1, 1))
    seen, fresh = look(tmp_path, seen)
    assert fresh == []
    path.rename(tmp_path / "b.csv")
    seen, fresh = look(tmp_path, seen)
    assert (list(seen), fresh) == (["b.csv"], [])
    (tmp_path / "b.csv").write_text("22")
    assert look(tmp_path, seen)[1] == ["b.csv"]


def test_only_what_changed_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    seen, _ = look(tmp_path, {})
    (tmp_path / "b.csv").write_text("2")
    read: list[str] = []

    def digest(name: str) -> str:
        read.append(name)
        return name

    compare(seen, landed_files(tmp_path), digest)
    assert read == ["b.csv"]


def test_a_file_that_still_grows_waits() -> None:
    now = 100 * 10**9
    files = {"old": Seen(1, 90 * 10**9), "growing": Seen(1, 99 * 10**9)}
    assert list(settled(files, now, seconds=5)) == ["old"]


def test_a_request_is_named_by_content(tmp_path: Path) -> None:
    one = {"a": Seen(1, 1, "x"), "b": Seen(1, 1, "y")}
    other = {"c": Seen(1, 2, "y"), "d": Seen(1, 3, "x")}
    assert run_key(one, ["a", "b"]) == run_key(other, ["c", "d"])
    assert run_key(one, ["a"]) != run_key(one, ["b"])


def test_the_cursor_survives_and_a_foreign_one_is_an_empty_one() -> None:
    seen = {"a.csv": Seen(1, 2, "x")}
    assert from_cursor(to_cursor(seen)) == seen
    assert from_cursor(None) == from_cursor("not json") == from_cursor("[1]") == from_cursor('{"a": 1}') == {}

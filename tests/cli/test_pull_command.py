"""`mailwright pull`: what it prints, what a machine gets, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Outcome
from tests.reverse_etl.engagement_world import engaged
from tests.reverse_etl.klaviyo_world import API_KEY, DEFAULT_LIST
from warehouse.connection import connect
from warehouse.settings import Settings


def test_the_command_says_what_is_new(
    mailwright: Callable[..., Outcome], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engaged("klaviyo", settings, tmp_path / "twin.sqlite", httpx.HTTPTransport()) as world:
        monkeypatch.setenv("KLAVIYO_API_KEY", API_KEY)
        monkeypatch.setenv("KLAVIYO_LIST_ID", DEFAULT_LIST)
        monkeypatch.setenv("KLAVIYO_BASE_URL", world.twin.url)
        world.plant("open", "ann@shop.test", 1)
        world.plant("open", "bob@shop.test", 2)
        world.plant("unsubscribe", "ann@shop.test", 3)
        first = mailwright("pull", "klaviyo", home=settings.home)
        assert first.code == 0, first.stderr
        assert [line.split() for line in first.stdout.splitlines()[1:3]] == [["open", "2"], ["unsubscribe", "1"]]
        assert "3 new events, read up to 2026-06-01T15:00:00Z" in first.stdout
        assert "3 new events" in first.stderr
        world.plant("click", "ann@shop.test", 4)
        second = mailwright("pull", "klaviyo", "--json", home=settings.home)
        assert (second.document["new"], second.document["known"]) == ({"click": 1}, 3)
        assert second.document["cursor"] == "2026-06-01T16:00:00Z"
        third = mailwright("pull", "klaviyo", "--json", "--since", "2026-06-01T15:30", home=settings.home)
        assert (third.document["n_new"], third.document["known"]) == (0, 4)  # what is new is read anyway, a day back
        status = mailwright("status", home=settings.home).stdout
        shown = next(line for line in status.splitlines() if line.startswith("klaviyo/"))
        assert shown.split()[3:] == ["succeeded", "0", "2026-06-01", "16:00"]
        with connect(settings, read_only=True) as con:
            load_id = con.execute("select load_id from ops.loads order by loaded_at desc limit 1").fetchall()[0][0]
        assert "pull --since" in mailwright("load", "--withdraw", load_id, home=settings.home).stdout
        assert (
            mailwright("pull", "klaviyo", "--json", "--since", "2026-06-01", home=settings.home).document["n_new"] == 1
        )
        for wrong, code, said in (
            (("pull", "nobody"), 2, "nobody"),
            (("pull", "hubspot"), 2, "HUBSPOT_ACCESS_TOKEN"),
            (("pull", "klaviyo", "--since", "yesterday"), 3, "yesterday"),
        ):
            outcome = mailwright(*wrong, home=settings.home)
            assert (outcome.code, said in outcome.stderr) == (code, True)

"""Nobody is subscribed in Klaviyo without evidence, nobody is raised, and a withdrawal touches nobody else.

The twin *would* lift a suppression when it is asked to subscribe, and *would* unsubscribe globally whoever is not in
the list that a request names: a sync that does either by accident is caught.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from reverse_etl import destinations, diff
from reverse_etl.destination import Record
from tests.reverse_etl.klaviyo_world import KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import Person, hash_of
from warehouse.connection import connect
from warehouse.settings import Settings

VERDICTS = ("subscribe", "update_only", "unsubscribe", None)
# consent and suppressions there → what we call it
STANDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "subscribed": ("SUBSCRIBED", ()),
    "never": ("NEVER_SUBSCRIBED", ()),
    "unsubscribed": ("UNSUBSCRIBED", ("UNSUBSCRIBE",)),
    "withdrawn": ("UNSUBSCRIBED", ()),
    "complained": ("SUBSCRIBED", ("SPAM_COMPLAINT",)),
    "suppressed": ("NEVER_SUBSCRIBED", ("USER_SUPPRESSED",)),
    "bounced": ("SUBSCRIBED", ("HARD_BOUNCE",)),
    "invalid": ("NEVER_SUBSCRIBED", ("INVALID_EMAIL",)),
    "bounced-and-gone": ("UNSUBSCRIBED", ("HARD_BOUNCE", "UNSUBSCRIBE")),
}


def _address(verdict: str | None, standing: str) -> str:
    return f"{verdict or 'none'}.{standing}@shop.test"


def _marketing(world: KlaviyoWorld, email: str) -> tuple[str, tuple[str, ...]] | None:
    found = world.twin.profile(email)
    return None if found is None else (found.consent, tuple(sorted(s["reason"] for s in found.suppressions)))


def _expected(verdict: str | None, standing: str) -> tuple[str, tuple[str, ...]] | None:
    """The whole policy as a table."""
    if standing == "absent":
        return ("SUBSCRIBED", ()) if verdict == "subscribe" else None
    consent, suppressions = STANDINGS[standing]
    if standing == "never" and verdict == "subscribe":
        return "SUBSCRIBED", ()
    if standing in {"never", "subscribed"} and verdict == "unsubscribe":
        return "UNSUBSCRIBED", ("UNSUBSCRIBE",)
    return consent, tuple(sorted(suppressions))


def test_every_verdict_meets_every_standing(klaviyo_world: KlaviyoWorld) -> None:
    world = klaviyo_world
    pairs = list(itertools.product(VERDICTS, (*STANDINGS, "absent")))
    for verdict, standing in pairs:
        if standing != "absent":
            consent, suppressions = STANDINGS[standing]
            world.twin.put(_address(verdict, standing), consent, *suppressions, mw_city="theirs")
    world.desire(*(Person(_address(v, s), v, ("vip",), {"city": "ours"}) for v, s in pairs))
    report = world.sync()
    assert {(v, s): _marketing(world, _address(v, s)) for v, s in pairs} == {(v, s): _expected(v, s) for v, s in pairs}
    written = {(v, s) for v, s in pairs if world.twin.city(_address(v, s)) == "ours"}
    assert written == {
        ("subscribe", "absent"), ("subscribe", "never"), ("subscribe", "subscribed"),
        ("update_only", "never"), ("update_only", "subscribed"),
    }  # fmt: skip
    # in a segment is who may be mailed: somebody who never subscribed could be, by any campaign to that list
    assert world.twin.inside("mw:vip") == {_address(v, s) for v, s in written if (v, s) != ("update_only", "never")}
    assert report.lowered == 2
    assert report.is_complete
    assert world.sync().writes == 0


def test_evidence_subscribes_whom_a_shop_has_brought(klaviyo_world: KlaviyoWorld) -> None:
    """A profile that an order made: her own name stays, and she is subscribed once there is evidence."""
    world = klaviyo_world
    fields = [
        {"column": "first_name", "field": "first_name", "name": "First", "fallback": "there", "on_null": "keep"},
        {"column": "city", "field": "mw_city", "name": "City"},
    ]
    klaviyo_declaration(world.settings, fields=fields)
    anna = world.twin.put("anna@shop.test", "NEVER_SUBSCRIBED")
    anna.attributes["first_name"] = "Anna"
    world.twin.store.put_profile(anna)
    world.desire(Person("anna@shop.test", "update_only", ("vip",), {"city": "A"}))
    assert (world.sync().updated, world.twin.consent("anna@shop.test")) == (1, "NEVER_SUBSCRIBED")
    assert world.twin.inside("mw:vip") == set()
    world.desire(Person("anna@shop.test", "subscribe", ("vip",), {"city": None}))
    report = world.sync()
    assert (report.created, report.entering) == (1, 1)
    found = world.twin.profile("anna@shop.test")
    assert found is not None
    assert (found.consent, found.attributes["first_name"], found.properties) == ("SUBSCRIBED", "Anna", {})
    assert world.sync().writes == 0


@pytest.mark.parametrize("reason", ["UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED", "HARD_BOUNCE"])
def test_who_says_no_while_her_import_runs_is_not_subscribed(
    klaviyo_world: KlaviyoWorld, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """Between the pull and the subscription: it would lift her suppression, so it is not asked for."""
    from reverse_etl.destinations.klaviyo_jobs import JobFollower

    world = klaviyo_world
    world.desire(Person("race@shop.test", "subscribe", ("vip",)), Person("calm@shop.test", "subscribe"))
    willing = JobFollower._willing

    def late(self: JobFollower, *arguments: Any) -> Any:
        consent = "SUBSCRIBED" if reason == "HARD_BOUNCE" else "UNSUBSCRIBED"
        world.twin.put("race@shop.test", consent, reason)
        return willing(self, *arguments)

    monkeypatch.setattr(JobFollower, "_willing", late)
    report = world.sync()
    assert world.twin.consent("calm@shop.test") == "SUBSCRIBED"
    race = world.twin.profile("race@shop.test")
    assert race is not None
    assert [s["reason"] for s in race.suppressions] == [reason]
    assert report.rejected == {"consent": 1}
    assert world.twin.subscribers == {"calm@shop.test"}
    monkeypatch.undo()
    assert world.sync().writes == 0


def test_a_withdrawal_ends_all_mail_and_touches_nobody_else(klaviyo_world: KlaviyoWorld) -> None:
    """Whether she is in the list or not: globally, and everybody else stays as she is."""
    world = klaviyo_world
    others = [f"other{n}@shop.test" for n in range(5)]
    for email in (*others, "outside@shop.test", "inside@shop.test"):
        world.twin.put(email)
    world.twin.put_inside("Simulated newsletter", *others[:3], "inside@shop.test")
    world.twin.put_inside("another letter", *others, "inside@shop.test", "outside@shop.test")
    before = {email: _marketing(world, email) for email in others}
    world.desire(
        Person("inside@shop.test", "unsubscribe", ("vip",)),
        Person("outside@shop.test", "unsubscribe"),
        *(Person(email, "update_only", ("vip",), {"city": "A"}) for email in others),
    )
    report = world.sync()
    assert (report.lowered, report.is_complete) == (2, True)
    for email in ("inside@shop.test", "outside@shop.test"):
        assert _marketing(world, email) == ("UNSUBSCRIBED", ("UNSUBSCRIBE",))
    assert {email: _marketing(world, email) for email in others} == before
    assert world.twin.inside("another letter") == {*others, "inside@shop.test", "outside@shop.test"}
    if world.transport:
        sent = [body for _, _, body, _ in world.requests("bulk-delete-jobs")]
        assert len(sent) == 1
        assert {p["attributes"]["email"] for p in sent[0]["data"]["attributes"]["profiles"]["data"]} == {
            "inside@shop.test",
            "outside@shop.test",
        }
    assert world.sync().writes == 0
    assert world.rows("select count(*) from ledger.remote_suppressions") == [(0,)]  # ours are no news of hers


def test_nothing_but_a_lowering_unsubscribes(klaviyo_world: KlaviyoWorld) -> None:
    """Each operation, straight at the destination; and one place alone in the code names that endpoint."""
    world = klaviyo_world
    found = world.twin.put("a@shop.test", mw_city="A")
    list_id = world.twin.store.add_list("mw:vip", "single_opt_in")
    record = Record("k", "a@shop.test", {"mw_city": ""}, found.id, hash_of("a@shop.test"))
    target = world.destination()
    for operation in ("create", "update", "clear"):
        outcome = target.upsert(operation, [record])
        for _ in range(9):
            if outcome and outcome.job:
                outcome = target.poll(outcome.job, operation, [record]) or outcome
        assert outcome.of("k").kind == "confirmed"
    for operation in ("add", "remove"):
        assert target.set_membership(list_id, operation, [record]).of("k").kind == "confirmed"
    assert world.twin.consent("a@shop.test") == "SUBSCRIBED"
    assert world.twin.store._rows("select 1 from jobs where kind = 'unsubscribe'") == []
    target.close()
    folder = Path(str(destinations.__file__)).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("klaviyo*.py")}
    calls = {name: len(re.findall(r"global_unsubscription_job\(", text)) for name, text in texts.items()}
    assert {name: n for name, n in calls.items() if n} == {"klaviyo.py": 1, "klaviyo_payload.py": 1}
    body = texts["klaviyo.py"].partition("def _lower(")[2].partition("\n    def ")[0]
    assert "global_unsubscription_job(" in body
    assert texts["klaviyo.py"].count("_lower(") == 2  # its definition, and `upsert` of a lowering
    assert 'if operation == "lower":\n            return self._lower(' in texts["klaviyo.py"]


def test_a_segment_subscribes_nobody(klaviyo_world: KlaviyoWorld) -> None:
    """Its list is made with double opt-in, and adding to it changes neither consent nor the newsletter's list."""
    world = klaviyo_world
    for n in range(3):
        world.twin.put(f"p{n}@shop.test")
    world.desire(*(Person(f"p{n}@shop.test", "update_only", ("vip",), {"city": "A"}) for n in range(3)))
    assert world.sync().entering == 3
    assert len(world.twin.inside("mw:vip")) == 3
    assert world.twin.subscribers == set()
    made = world.twin.store.list_row(world.twin.store.list_named("mw:vip") or "")
    assert made is not None
    assert made["opt_in_process"] == "double_opt_in"
    found = world.twin.put("never@shop.test", "NEVER_SUBSCRIBED")
    target = world.destination()
    record = Record("k", "never@shop.test", {}, found.id, hash_of("never@shop.test"))
    assert target.set_membership(made["id"], "add", [record]).of("k").kind == "confirmed"
    target.close()
    assert _marketing(world, "never@shop.test") == ("NEVER_SUBSCRIBED", ())


def test_who_unsubscribes_there_is_never_subscribed_again(klaviyo_world: KlaviyoWorld) -> None:
    """Whatever the row says; and it is evidence, dated when she said it, that binds her other addresses as well."""
    world = klaviyo_world
    world.desire(Person("a@shop.test", "subscribe", ("vip",), {"city": "A"}))
    world.sync()
    world.twin.unsubscribe("a@shop.test")
    world.twin.put("b@shop.test")
    person = Person("a@shop.test", "subscribe", ("vip",), {"city": "B"}, other_addresses=("b@shop.test",))
    klaviyo_declaration(world.settings, addresses="sync_esp__addresses")
    world.desire(person)
    report = world.sync()
    assert (report.blocked, report.lowered) == ({"unsubscribed_in_destination": 1}, 1)
    assert world.twin.consent("a@shop.test") == world.twin.consent("b@shop.test") == "UNSUBSCRIBED"
    assert world.rows("select email, kind from ledger.remote_suppressions") == [("a@shop.test", "unsubscribe")]
    for n in range(2):
        found = world.twin.profile("a@shop.test")
        assert found is not None
        found.properties["theirs"] = n  # a change of her fields is no news of it
        world.twin.store.put_profile(found)
        assert world.sync().writes == 0
    assert world.twin.city("a@shop.test") == "A"
    assert len(world.rows("select 1 from ledger.remote_suppressions")) == 1


def test_who_left_our_list_alone_is_not_mailed_again(klaviyo_world: KlaviyoWorld) -> None:
    """Unsubscribed from the list that we manage; from another list is another matter."""
    world = klaviyo_world
    for email, list_id in (("ours@shop.test", "KlDemo"), ("theirs@shop.test", "Other1")):
        found = world.twin.put(email)
        found.list_suppressions = [{"list_id": list_id, "reason": "UNSUBSCRIBE", "timestamp": found.updated}]
        world.twin.store.put_profile(found)
    world.desire(*(Person(e, "subscribe", ("vip",), {"city": "A"}) for e in ("ours@shop.test", "theirs@shop.test")))
    report = world.sync()
    assert (report.updated, report.blocked) == (1, {"unsubscribed_in_destination": 1})
    assert world.twin.inside("mw:vip") == {"theirs@shop.test"}


def test_an_incremental_pull_sees_every_suppression(klaviyo_world: KlaviyoWorld) -> None:
    """Even where a suppression does not count as a change of the profile."""
    world = klaviyo_world
    world.desire(Person("a@shop.test", "subscribe", (), {"city": "A"}), Person("b@shop.test", "subscribe"))
    world.sync()
    world.sync()
    world.twin.unsubscribe("a@shop.test")
    world.twin.store._run("update profiles set updated = '2020-01-01T00:00:00+00:00' where email = 'a@shop.test'")
    assert world.sync().blocked == {"unsubscribed_in_destination": 1}
    kinds = world.rows("select pull_kind from ledger.remote_pulls order by pulled_at")
    assert kinds[-1] == ("incremental",)


def test_an_older_job_never_subscribes_who_left_meanwhile(tmp_path: Path, settings: Settings) -> None:
    """Accepted yesterday, unsubscribed since, polled today."""
    klaviyo_declaration(settings)
    with KlaviyoServer(tmp_path / "slow.sqlite", polls=1000) as twin, connect(settings):
        world = KlaviyoWorld(settings, twin)
        world.desire(Person("a@shop.test", "subscribe", ("vip",), {"city": "A"}))
        assert world.sync().waiting == 1
        twin.door.worker.polls = 0
        twin.store._run("update jobs set polls_left = 0")
        twin.put("a@shop.test", "UNSUBSCRIBED", "UNSUBSCRIBE")
        report = world.sync()
        assert report.waiting == 0
        assert twin.consent("a@shop.test") == "UNSUBSCRIBED"
        assert twin.subscribers == set()
        assert world.sync().writes == 0


@pytest.mark.parametrize("verdict", ["unsubscribe", "update_only", "gone", "unsubscribed elsewhere"])
def test_who_withdraws_while_her_job_runs_is_not_subscribed(tmp_path: Path, settings: Settings, verdict: str) -> None:
    """Her import was accepted by a run that did not wait; by the time that the next one looks, she has said no."""
    klaviyo_declaration(settings, addresses="sync_esp__addresses", guards={"refuse_empty_source": False})
    with KlaviyoServer(tmp_path / "slow.sqlite", polls=1000) as twin, connect(settings) as con:
        world = KlaviyoWorld(settings, twin)
        person = Person("a@shop.test", "subscribe", ("vip",), {"city": "A"}, other_addresses=("b@shop.test",))
        calm = Person("calm@shop.test", "subscribe", ("vip",), {"city": "A"})
        world.desire(person, calm)
        assert world.sync().waiting == 2
        twin.door.worker.polls = 0
        twin.store._run("update jobs set polls_left = 0")
        if verdict == "unsubscribed elsewhere":
            con.execute(
                "insert into ledger.remote_suppressions values "
                "('1', 'other/list', ?, 'b@shop.test', 'unsubscribe', now()::timestamp, now()::timestamp)",
                [hash_of("b@shop.test")],
            )
        elif verdict == "gone":
            world.desire(calm)
        else:
            world.desire(Person("a@shop.test", verdict, ("vip",), {"city": "A"}), calm)
        world.sync()
        subscribed = [row["body"] for row in twin.store._rows("select body from jobs where kind = 'subscribe'")]
        assert len(subscribed) == 1
        assert "calm@shop.test" in subscribed[0]
        assert "a@shop.test" not in subscribed[0]
        assert twin.consent("calm@shop.test") == "SUBSCRIBED"
        assert twin.consent("a@shop.test") in {"NEVER_SUBSCRIBED", "UNSUBSCRIBED"}
        assert twin.inside("mw:vip") == {"calm@shop.test"}
        assert world.sync().is_complete
        assert world.sync().writes == 0


def test_policies_name_each_status_once() -> None:
    assert diff.NEVER_SUBSCRIBED not in diff.MAILABLE
    assert diff.NEVER_SUBSCRIBED in diff.UPDATABLE
    assert set(diff.UPDATABLE) < set(diff.LOWERABLE)

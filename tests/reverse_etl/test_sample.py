"""A sample of a plan shows what is there and what would be sent, of people who change first; and writes nothing."""

from __future__ import annotations

from reverse_etl.sample import SampledPerson, sample
from tests.reverse_etl.klaviyo_world import KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import Person, World, hash_of, small_declaration


def _sample(world: World, n: int) -> dict[str, SampledPerson]:
    made = world.plan()
    target = world.destination()
    try:
        return {person.subscriber_hash: person for person in sample(world.settings, made, n, destination=target)}
    finally:
        target.close()


def test_before_and_after(world: World) -> None:
    small_declaration(world.settings)
    world.sync_name = "small"
    world.desire(
        Person("changed@shop.test", "subscribe", ("vip",), {"city": "A", "first_name": "Zoë"}),
        Person("moves@shop.test", "subscribe", ("vip",), {"city": "A"}),
        Person("gone@shop.test", "subscribe", (), {"city": "A"}),
        Person("withdraws@shop.test", "subscribe", ("vip",), {"city": "A"}),
        Person("same@shop.test", "subscribe", ("vip",), {"city": "A"}),
    )
    world.sync()
    world.desire(
        Person("changed@shop.test", "subscribe", ("vip", "cart"), {"city": "B", "first_name": "Zoë"}),
        Person("moves@shop.test", "subscribe", ("cart",), {"city": "A"}),
        Person("withdraws@shop.test", "unsubscribe", (), {"city": "A"}),
        Person("same@shop.test", "subscribe", ("vip",), {"city": "A"}),
        Person("new@shop.test", "subscribe", (), {"city": "C"}),
        Person("stranger@shop.test", "update_only", (), {"city": "C"}),
    )
    writes = world.twin.writes
    shown = _sample(world, 20)
    assert world.twin.writes == writes

    def of(name: str) -> SampledPerson:
        return shown[hash_of(f"{name}@shop.test")]

    assert (of("changed").operation, dict(of("changed").changes)) == ("update", {"MW_CITY": ("A", "B")})
    assert (of("changed").enters, of("changed").leaves) == (("mw:cart",), ())
    assert (of("moves").changes, of("moves").enters, of("moves").leaves) == ({}, ("mw:cart",), ("mw:vip",))
    assert (of("gone").operation, dict(of("gone").changes)) == (
        "clear",
        {"MW_CITY": ("A", None), "FNAME": ("there", None)},
    )
    assert (of("withdraws").operation, of("withdraws").changes) == ("lower", {})
    assert (of("new").operation, of("new").changes["MW_CITY"]) == ("create", (None, "C"))
    assert (of("stranger").operation, of("stranger").reason) == ("blocked", "no_opt_in_evidence")
    assert hash_of("same@shop.test") not in shown
    assert "@" not in str([person.to_dict() for person in shown.values()])


def test_those_who_change_come_first(world: World) -> None:
    small_declaration(world.settings)
    world.sync_name = "small"
    world.desire(
        *(Person(f"stranger{n}@shop.test", "update_only") for n in range(5)),
        *(Person(f"new{n}@shop.test", "subscribe") for n in range(3)),
    )
    shown = _sample(world, 4)
    assert sorted(person.operation for person in shown.values()) == ["blocked", "create", "create", "create"]


def test_each_kind_of_change_is_seen(world: World) -> None:
    """The few who are new, move or withdraw, among the many who are updated."""
    small_declaration(world.settings)
    world.sync_name = "small"
    names = [f"old{n}" for n in range(9)]
    world.desire(*(Person(f"{name}@shop.test", "subscribe", (), {"city": "A"}) for name in [*names, "withdraws"]))
    world.sync()
    world.desire(
        *(Person(f"{name}@shop.test", "subscribe", ("vip",) * (name == "old8"), {"city": "B"}) for name in names),
        Person("withdraws@shop.test", "unsubscribe", (), {"city": "A"}),
        Person("new@shop.test", "subscribe", (), {"city": "C"}),
    )
    made = world.plan()
    target = world.destination()
    try:
        shown = sample(world.settings, made, 5, destination=target)
    finally:
        target.close()
    assert [person.operation for person in shown] == ["create", "update", "update", "update", "lower"]
    assert [person.enters for person in shown].count(("mw:vip",)) == 1


def test_who_is_there_and_subscribes_now_keeps_what_is_hers(klaviyo_world: KlaviyoWorld) -> None:
    """Known there without ever having subscribed: what is shown is what is sent."""
    klaviyo_declaration(
        klaviyo_world.settings,
        fields=[
            {"column": "first_name", "field": "first_name", "name": "N", "on_null": "keep", "fallback": "there"},
            {"column": "city", "field": "mw_city", "name": "City"},
        ],
    )
    ann = klaviyo_world.twin.put("ann@shop.test", "NEVER_SUBSCRIBED", mw_city="Old")
    ann.attributes["first_name"] = "Anna"
    klaviyo_world.twin.store.put_profile(ann)
    klaviyo_world.desire(Person("ann@shop.test"))
    (shown,) = _sample(klaviyo_world, 5).values()
    assert (shown.operation, dict(shown.changes)) == ("create", {"mw_city": ("Old", None)})
    klaviyo_world.sync()
    found = klaviyo_world.twin.profile("ann@shop.test")
    assert found is not None
    assert (found.consent, found.attributes["first_name"], found.properties.get("mw_city")) == (
        "SUBSCRIBED", "Anna", None
    )  # fmt: skip

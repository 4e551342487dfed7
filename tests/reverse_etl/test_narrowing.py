"""Who is left out of a plan as unchanged without being looked at: nobody about whom there is anything to do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal

import pytest

from reverse_etl.diff import Scope, payload_hash
from reverse_etl.ledger import waves
from reverse_etl.narrowing import look_at
from reverse_etl.sample import sample
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.world import Person, World, hash_of, small_declaration
from warehouse.connection import connect
from warehouse.errors import DataError

PEOPLE = [Person(f"p{i}@shop.test", columns={"city": f"City {i}", "rec_1_price": Decimal("1.00")}) for i in range(4)]
MEMBERS = "analytics.sync_esp__members"
STATE = "ledger.sync_state"
WHO = "email = 'p1@shop.test'"
WHOSE = "record_key = md5('p1@shop.test')"


def _remembered(world: World) -> None:
    world.desire(*PEOPLE)
    world.sync()
    assert world.plan().unchanged == 4


def _looked_at(world: World) -> int:
    declaration = small_declaration(world.settings, fields=FIELDS, segments=None)
    scope = Scope("plan", world.settings.schema, declaration, world.destination().key)
    with connect(world.settings) as con:
        n = look_at(con, scope, 4)
        con.execute("drop table looked_at")
    return n


FIELDS = [
    {"column": "city", "field": "MW_CITY", "name": "City"},
    {"column": "rec_1_price", "field": "MW_PRICE", "name": "Price"},
]


@pytest.fixture
def small(world: World) -> World:
    small_declaration(world.settings, fields=FIELDS, segments=None, addresses="sync_esp__addresses")
    world.sync_name = "small"
    _remembered(world)
    return world


def test_who_is_remembered_is_not_looked_at(small: World) -> None:
    assert _looked_at(small) == 0
    small.rows(f"update {STATE} set quick_hash = quick_hash + 1 where {WHOSE}")
    assert _looked_at(small) == 1
    assert small.plan().unchanged == 4
    small.rows(f"update {STATE} set quick_hash = null")
    assert _looked_at(small) == 4
    assert small.plan().unchanged == 4
    assert _looked_at(small) == 0


@pytest.mark.parametrize(
    ("happens", "counts"),
    [
        (f"update {MEMBERS} set city = 'Oslo' where {WHO}", {"updated": 1}),
        (f"update {MEMBERS} set city = null where {WHO}", {"updated": 1}),
        (f"update {MEMBERS} set consent_verdict = 'unsubscribe' where {WHO}", {"lowered": 1}),
        (f"update {MEMBERS} set consent_verdict = null where {WHO}", {"blocked": {"no_consent_verdict": 1}}),
        (f"delete from {MEMBERS} where {WHO}", {"cleared": 1}),
        (f"update analytics.sync_esp__addresses set is_refused = true where {WHO}", {}),
        (f"update {STATE} set is_doubtful = true where {WHOSE}", {"updated": 1}),
        (f"update {STATE} set confirmed_hash = md5('') where {WHOSE}", {"updated": 1}),
        (f"update {STATE} set confirmed_version = 'older' where {WHOSE}", {"updated": 1}),
        (f"update {STATE} set state = 'accepted' where {WHOSE}", {"held": {"waiting": 1}}),
        # the same numbers, as another type: another text
        (
            f"alter table {MEMBERS} alter rec_1_price type bigint using cast(rec_1_price * 100 as bigint)",
            {"updated": 4},
        ),
    ],
)
def test_whatever_is_to_be_done_is_seen(small: World, happens: str, counts: dict[str, object]) -> None:
    small.rows(happens)
    made = small.plan()
    for name, expected in counts.items():
        assert getattr(made, name) == expected, name
    touched = sum(n if isinstance(n, int) else sum(n.values()) for n in counts.values())  # pyright: ignore[reportAttributeAccessIssue]
    assert made.unchanged == 4 - touched


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (lambda world: world.twin.put("p1@shop.test", "unsubscribed", "member"), "unsubscribed_in_destination"),
        (lambda world: world.twin.put("p1@shop.test", "cleaned", "member"), "cleaned_in_destination"),
        (lambda world: world.twin.store.forget(DEFAULT_LIST, hash_of("p1@shop.test")), "deleted_in_destination"),
    ],
)
def test_what_happened_there_is_seen(small: World, there: Callable[[World], None], reason: str) -> None:
    there(small)
    made = small.plan()
    assert made.blocked == {reason: 1}
    assert made.unchanged == 3


@pytest.mark.parametrize("change", ["", "update {new} set city = 'Oslo'", "update {new} set consent_verdict = null"])
def test_a_remembered_person_who_is_there_twice(small: World, change: str) -> None:
    small.rows(f"create table twice as select * from {MEMBERS} where {WHO}")
    if change:
        small.rows(change.format(new="twice"))
    small.rows(f"insert into {MEMBERS} select * from twice")
    with pytest.raises(DataError, match="1 rows of the model have no key of their own"):
        small.plan()


@pytest.mark.parametrize("other", ["'bob@shop.test'", "null"])
def test_an_address_with_the_key_of_another(small: World, other: str) -> None:
    """Her consent would be looked up, and he would be written to."""
    small.rows(f"update {MEMBERS} set email = {other}, city = 'Oslo' where {WHO}")
    with pytest.raises(DataError, match="In 1 rows of the model `subscriber_hash` is not that of `email`"):
        small.plan()


def test_the_hash_of_a_row_is_what_it_always_was(world: World) -> None:
    world.desire(Person("p@shop.test", columns={"first_name": "Zoë"}))
    declaration = small_declaration(world.settings)
    found = world.rows(f"select {payload_hash(declaration, 'm')} from {MEMBERS} as m")[0][0]
    text = chr(31).join((declaration.fingerprint, "Zoë", chr(30)))
    assert found == hashlib.md5(text.encode()).hexdigest()


def test_waves_are_of_batches_or_of_people(world: World) -> None:
    world.desire(*PEOPLE)
    world.plan()
    world.rows(
        """insert into ledger.sync_plan_items
           select 'p', 's', 'd', 'member', cast(i as text), cast(i as text), null, if(i < 50, 'lower', 'update'), null,
               'h', 1 + i // 10 from range(100) as r(i)"""
    )
    with connect(world.settings) as con:
        assert [len(numbers) for _, numbers in waves(con, "p", 2, 0)] == [2, 2, 1, 2, 2, 1]
        assert [len(numbers) for _, numbers in waves(con, "p", 2, 35)] == [3, 2, 3, 2]
        assert [len(numbers) for _, numbers in waves(con, "p", 4, 10)] == [4, 1, 4, 1]
        assert [len(numbers) for _, numbers in waves(con, "p", 1, 35, most=2)] == [2, 2, 1, 2, 2, 1]
        assert [len(numbers) for _, numbers in waves(con, "p", 1, 35, most=4)] == [3, 2, 3, 2]


@pytest.mark.parametrize(("kind", "one"), [("hugeint", "1"), ("decimal(38,2)", "0.01"), ("decimal(18,2)", "0.01")])
def test_numbers_that_have_one_hash_are_told_apart(world: World, kind: str, one: str) -> None:
    """In DuckDB, `hash` of 0 and of -1 are one for numbers of 128 bits, which sums are."""
    fields = [{"column": "net_items", "field": "MW_NET", "name": "Net", "type": "number"}]
    small_declaration(world.settings, fields=fields, segments=None, addresses="sync_esp__addresses")
    world.sync_name = "small"
    world.desire(*PEOPLE)
    world.rows(f"alter table {MEMBERS} add column net_items {kind} default 0")
    world.sync()
    assert world.plan().unchanged == 4
    world.rows(f"update {MEMBERS} set net_items = -{one}")
    assert world.plan().updated == 4


OURS = ("segment_id", "remote_id", "operation", "batch_number", "record_key", "desired_hash", "verdict_now",
        "remote_fields",
        "remote_status", "payload", "reason", "position", "order", "email")  # fmt: skip


def test_columns_may_be_called_as_ours(world: World) -> None:
    """A row whose content is not what was planned is left out: another's column of that name must not be read."""
    small_declaration(
        world.settings,
        fields=[{"column": name, "field": f"MW_{n}", "name": name} for n, name in enumerate(OURS)],
        segments=None,
    )
    world.sync_name = "small"
    world.desire(*PEOPLE)
    for name in OURS[:-1]:
        world.rows(f"alter table {MEMBERS} add column \"{name}\" text default '{name[:3]}'")
    target = world.destination()
    (one,) = sample(world.settings, world.plan(), 1, destination=target)
    assert sorted(one.changes) == sorted(f"MW_{n}" for n in range(len(OURS)))
    target.close()
    assert world.sync().created == 4
    assert world.plan().unchanged == 4
    member = world.twin.member("p1@shop.test")
    assert member is not None
    shown = [member.merge_fields[f"MW_{n}"] for n in range(len(OURS))]
    assert shown == [*(name[:3] for name in OURS[:-1]), "p1@shop.test"]

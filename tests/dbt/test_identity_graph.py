"""Who is who: the models of the graph against an oracle, batch by batch, over rebuilds, with limits and with rules.

Each dbt run resolves many small random worlds at once; their identifiers carry the number of their world.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.dbt import identity_support as support
from tests.dbt.identity_support import Node, Seen
from warehouse.connection import connect
from warehouse.settings import Settings

BRIDGES = ("contact_id", "customer_id", "email", "loyalty_card", "user_id")
ATTACHED = ("anonymous_id", "device_id", "phone")
STANDS_ALONE = {*BRIDGES, "anonymous_id"}
AS_OF = datetime(2026, 6, 1)
WORLDS = 60

few_examples = hypothesis_settings(
    max_examples=1,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""An example is several whole dbt runs, each over WORLDS worlds: hypothesis draws the seed, and shrinks nothing."""
seeds = st.integers(1, 2**32)


def worlds(chance: random.Random, attached: bool = True) -> list[Seen]:
    """Edges of WORLDS random worlds of a few identifiers each, of all types (or of bridges alone)."""
    types = BRIDGES + ATTACHED if attached else BRIDGES
    edges = []
    for number in range(WORLDS):
        nodes = [(chance.choice(types), f"w{number}-{i}") for i in range(chance.randint(2, 9))]
        for _ in range(chance.randint(1, 10)):
            left, right = chance.sample(nodes, 2)
            source, times = chance.choice(["crm_contact", "web_event"]), chance.choice([1, 1, 1, 3, 12])
            edges.append(Seen(left, right, chance.randint(0, 500), source, times))
    return edges


def oracle(edges: Iterable[Seen], cut: Iterable[frozenset[Node]] = ()) -> dict[Node, frozenset[Node]]:
    """Identifier → all identifiers of its profile, from the words of the documentation: no code is shared."""
    forbidden = set(cut)
    near: dict[Node, set[Node]] = defaultdict(set)
    for edge in edges:
        near[edge.left], near[edge.right]
        if frozenset((edge.left, edge.right)) not in forbidden:
            near[edge.left].add(edge.right)
            near[edge.right].add(edge.left)
    person: dict[Node, Node] = {}
    for start in sorted(near):
        if start[0] in BRIDGES and start not in person:
            waiting = [start]
            while waiting:
                node = waiting.pop()
                if node not in person:
                    person[node] = start
                    waiting += [other for other in near[node] if other[0] in BRIDGES]
    owner: dict[Node, Node] = {}
    alone: set[Node] = set()
    for node in near:
        if node[0] in ATTACHED:
            owners = {person[other] for other in near[node] if other[0] in BRIDGES}
            if len(owners) == 1:
                owner[node] = owners.pop()
            elif owners:
                alone.add(node)
    through: dict[Node, Node] = {}
    for node in near:
        if node[0] in ATTACHED and node not in owner and node not in alone:
            owners = {owner[other] for other in near[node] if other in owner}
            if len(owners) == 1:
                through[node] = owners.pop()
    belongs: dict[Node, Node] = {**person, **owner, **through}
    visitors = {node for node in near if node not in belongs and node[0] in STANDS_ALONE}
    belongs.update({node: node for node in visitors})
    claimed = {node for node in near if node in alone or any(other in owner for other in near[node])}
    for node in near:
        # a device or telephone that nobody claims goes with the one visitor it was seen with
        hosts = {other for other in near[node] if other in visitors and other not in claimed}
        if node not in belongs and node not in claimed and len(hosts) == 1:
            belongs[node] = hosts.pop()
    members: dict[Node, set[Node]] = defaultdict(set)
    for node, root in belongs.items():
        members[root].add(node)
    return {node: frozenset(members[root]) for node, root in belongs.items()}


def partition(found: Mapping[Node, str]) -> dict[Node, frozenset[Node]]:
    """Identifier → all identifiers of its profile, as the models have it."""
    members: dict[str, set[Node]] = defaultdict(set)
    for node, profile in found.items():
        members[profile].add(node)
    return {node: frozenset(members[profile]) for node, profile in found.items()}


@pytest.fixture
def new_store(one_place: Callable[[], Path]) -> Callable[[], Settings]:
    """An empty warehouse, the last one gone; always at the same path, so that dbt parses the project once."""
    return lambda: Settings(home=one_place(), target="prod", lock_timeout_seconds=30)


def rule(store: Settings, action: str, left: Node, right: Node, rule_id: str = "r1") -> None:
    first, second = sorted((left, right))
    with connect(store, purpose="test") as con:
        con.execute(
            "insert into identity.rules values (?, ?, ?, ?, ?, ?, 'a test', ?, null, null)",
            [rule_id, action, *first, *second, AS_OF],
        )


@given(seed=seeds)
@few_examples
def test_the_partition_depends_on_neither_order_nor_batches(new_store: Callable[[], Settings], seed: int) -> None:
    chance = random.Random(seed)
    edges = worlds(chance)
    whole = new_store()
    support.write_graph(whole, edges, as_of=AS_OF)
    support.resolve(whole)
    at_once = support.profiles(whole)
    assert partition(at_once) == oracle(edges)

    shuffled = chance.sample(edges, len(edges))
    batched = new_store()
    ends = [*sorted(chance.sample(range(1, len(shuffled)), 2)), len(shuffled)]
    previous: dict[Node, str] = {}
    for number, end in enumerate(ends):
        as_of = AS_OF + timedelta(days=number)
        support.write_graph(batched, shuffled[:end], as_of=as_of)
        support.resolve(batched)
        now = support.profiles(batched)
        assert partition(now) == oracle(shuffled[:end])
        groups = partition(now)
        for profile in set(previous.values()):
            # more edges never part bridges that were together
            before = {node for node, p in previous.items() if p == profile and node[0] in BRIDGES}
            assert len({groups[node] for node in before}) <= 1
        # an id that stays in use stays with the identifier that it was given to first
        first_time = support.rows(
            batched,
            """select identifier_type, identifier_value, min(registered_at) from analytics.identity_registry
               group by identifier_type, identifier_value""",
        )
        registered = {(kind, value): at for kind, value, at in first_time}
        for node, group in groups.items():
            bridges = [other for other in group if other[0] in BRIDGES]
            if bridges and number:
                earliest = min(registered[other] for other in bridges)
                if earliest < as_of:
                    kept = {previous[o] for o in bridges if registered[o] == earliest and o in previous}
                    assert now[node] in kept
        previous = now
    assert partition(previous) == partition(at_once)

    # rebuilt from nothing but the registry, with strangers added: the same ids
    with connect(batched, purpose="test") as con:
        for (table,) in con.execute(
            """select table_name from duckdb_tables() where schema_name = 'analytics' and table_name not in
               ('clock', 'identity_registry', 'identity_changes', 'int_identity__sightings',
                'int_identity__observed_edges')"""
        ).fetchall():
            con.execute(f"drop table analytics.{table}")
    stranger = Seen(("email", "stranger@shop.test"), ("user_id", "stranger"), -900)
    support.write_graph(batched, [stranger, *edges], as_of=AS_OF + timedelta(days=9))
    support.resolve(batched)
    rebuilt = support.profiles(batched)
    assert {node: rebuilt[node] for node in previous} == previous
    # and from raw alone, whatever the order of the rows: the ids of the first time
    afresh = new_store()
    support.write_graph(afresh, shuffled, as_of=AS_OF + timedelta(days=20))
    support.resolve(afresh)
    assert support.profiles(afresh) == at_once


RESOLVED = (
    "int_identity__identifiers", "int_identity__quarantine", "int_identity__edges", "int_identity__components",
    "int_identity__attachments", "identity_registry", "int_identity__resolved",
)  # fmt: skip
"""What is computed for the region alone."""


def contents(store: Settings) -> dict[str, list[tuple[Any, ...]]]:
    return {table: support.rows(store, f"select * from analytics.{table} order by all") for table in RESOLVED}


def world_of(value: str) -> str:
    return value.split("-")[0]


def a_day_later(chance: random.Random, edges: list[Seen]) -> tuple[list[Seen], set[str]]:
    """In a few worlds: edges gone, new ones, old ones seen again; and whose worlds they are."""
    touched = {f"w{number}" for number in chance.sample(range(WORLDS), 6)}
    joined = {"w0", "w1"}
    day = []
    for edge in edges:
        if world_of(edge.left[1]) in touched:
            fate = chance.choice(["gone", "again", "same"])
            if fate == "gone":
                continue
            if fate == "again":
                day.append(Seen(edge.left, edge.right, 600, edge.source))
        day.append(edge)
    nodes = sorted({node for edge in edges for node in edge.ends()})
    for world in sorted(touched):
        inside = [node for node in nodes if world_of(node[1]) == world]
        day.append(Seen(chance.choice(inside), ("email", f"{world}-new"), 601))
    left, right = (next(node for node in nodes if world_of(node[1]) == world) for world in sorted(joined))
    day.append(Seen(left, right, 602, "web_event"))
    return day, touched | joined


@given(seed=seeds)
@few_examples
def test_a_build_touches_what_changed_and_comes_to_what_a_full_one_does(
    new_store: Callable[[], Settings], seed: int
) -> None:
    """Rows gone, new and repeated; two worlds joined; a rule and its withdrawal; models run by hand; two builds at the
    same instant."""
    chance = random.Random(seed)
    store = new_store()
    edges = worlds(chance)
    support.write_graph(store, edges, as_of=AS_OF)
    support.resolve(store)
    ((everybody,),) = support.rows(store, "select count(*) from analytics.int_identity__identifiers")
    names = dict(support.rows(store, "select node_key, identifier_value from analytics.int_identity__identifiers"))
    first_day = contents(store)

    # on a bad load some of the models are run by hand, and it is taken back: what was written of it goes
    bad = [*edges, Seen(("email", "w5-bad"), next(e.left for e in edges if world_of(e.left[1]) == "w5"), 590)]
    support.write_graph(store, bad, as_of=AS_OF)
    by_hand = [name for name in RESOLVED if name != "int_identity__resolved"]
    support.dbt(store, "run", "--select", *by_hand)
    assert contents(store) != first_day
    support.write_graph(store, edges, as_of=AS_OF)
    support.resolve(store)
    assert contents(store) == first_day

    pair = next(
        row
        for row in support.rows(
            store,
            """select left_type, left_value, right_type, right_value from analytics.int_identity__edges
               where is_active and tier = 'bridge' and left_value not like 'w0-%' order by all""",
        )
    )
    rule(store, "cut", pair[:2], pair[2:])
    cut = {frozenset((pair[:2], pair[2:]))}
    edges, touched = a_day_later(chance, edges)
    touched.add(world_of(pair[1]))
    support.write_graph(store, edges, as_of=AS_OF + timedelta(days=1))
    support.resolve(store)
    region = [key for (key,) in support.rows(store, "select node_key from analytics.int_identity__region")]
    assert 0 < len(region) < everybody / 2
    names |= dict(support.rows(store, "select node_key, identifier_value from analytics.int_identity__identifiers"))
    assert {world_of(names[key]) for key in region} == touched
    assert partition(support.profiles(store)) == oracle(edges, cut)
    at_once = contents(store)
    assert at_once["identity_registry"] != first_day["identity_registry"]
    refreshed(store)
    assert contents(store) == at_once

    with connect(store, purpose="test") as con:
        con.execute("update identity.rules set withdrawn_at = ?", [AS_OF + timedelta(days=2)])
    support.write_graph(store, edges, as_of=AS_OF + timedelta(days=2))
    support.resolve(store)
    region = [key for (key,) in support.rows(store, "select node_key from analytics.int_identity__region")]
    assert {world_of(names[key]) for key in region} == {world_of(pair[1])}
    assert partition(support.profiles(store)) == oracle(edges)


def same_bucket(store: Settings) -> tuple[Node, Node]:
    """Two addresses that the first step of finding out what changed does not tell apart."""
    (pair,) = support.rows(
        store,
        """select min(value), max(value) from (select 'p' || i || '@x.org' as value from range(40000) as r(i))
           group by (hash('email', value) >> 1) % 1048576 having count(*) > 1 order by 1 limit 1""",
    )
    return ("email", pair[0]), ("email", pair[1])


def test_one_takes_the_place_of_another_and_steps_left_out_are_made_up_for(
    new_store: Callable[[], Settings],
) -> None:
    """The same words about somebody else in one bucket; somebody gone, and a run that left out one of the steps."""
    store = new_store()
    edges = worlds(random.Random(7))
    support.write_graph(store, edges, as_of=AS_OF)
    before, after = same_bucket(store)
    support.write_graph(store, edges, {before: 5}, as_of=AS_OF)
    support.resolve(store)
    support.write_graph(store, edges, {after: 5}, as_of=AS_OF + timedelta(days=1))
    support.resolve(store)
    assert before not in support.profiles(store)
    assert after in support.profiles(store)

    support.write_graph(store, edges, as_of=AS_OF + timedelta(days=2))
    untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    support.dbt(store, "build", *untested, "--select", *support.MODELS, "--exclude", "identity_registry")
    support.resolve(store)
    assert after not in support.profiles(store)
    at_once = contents(store)
    refreshed(store)
    assert contents(store) == at_once


def refreshed(store: Settings) -> None:
    """The same once more from nothing but what was observed and the registry."""
    untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    support.dbt(store, "build", "--full-refresh", *untested, "--select", *support.MODELS)


@given(seed=seeds, limit=st.integers(2, 4))
@few_examples
def test_a_component_above_the_limit_is_kept_apart_at_its_weakest_edges(
    new_store: Callable[[], Settings], seed: int, limit: int
) -> None:
    edges = worlds(random.Random(seed), attached=False)
    store = new_store()
    support.write_graph(store, edges, as_of=AS_OF)
    support.resolve(store, identity_max_component_size=limit)
    found = partition(support.profiles(store))
    unlimited = oracle(edges)
    splits = {
        frozenset((row[:2], row[2:4])): row[4:]
        for row in support.rows(
            store,
            """select left_type, left_value, right_type, right_value, limit_kind, limit_name, strength
               from analytics.identity_splits""",
        )
    }
    strengths = {
        frozenset((row[:2], row[2:4])): row[4]
        for row in support.rows(
            store, "select left_type, left_value, right_type, right_value, strength from analytics.int_identity__edges"
        )
    }
    assert any(len(group) > limit for group in unlimited.values()), "the worlds are too small to say anything"
    for group in set(unlimited.values()):
        parts = {found[node] for node in group}
        assert frozenset().union(*parts) == group
        if len(group) <= limit:
            assert parts == {group}
            continue
        assert all(len(part) <= limit for part in parts)
        inside = {pair for pair in strengths if pair <= group}
        for pair in inside:
            left, right = pair
            assert (found[left] != found[right]) == (pair in splits)
            if pair in splits:
                assert splits[pair][:2] == ("max_component_size", f"more than {limit} identifiers")
        # every edge that was taken out at a part's border is weaker than what still holds the part together
        for part in parts:
            border = max((strengths[pair] for pair in inside if len(pair & part) == 1), default=0)
            stronger = [Seen(*pair) for pair in inside if pair <= part and strengths[pair] > border]
            assert len(part) == 1 or oracle(stronger)[min(part)] == part


def test_merge_split_and_back_keep_and_return_ids(new_store: Callable[[], Settings]) -> None:
    """Two people, a link, its withdrawal, a cut: ids, changes with their cause, successions."""
    store = new_store()
    ann = [
        Seen(("customer_id", "a"), ("email", "ann@shop.test"), 1),
        Seen(("email", "ann@shop.test"), ("user_id", "ua"), 2),
    ]
    ben = [Seen(("customer_id", "b"), ("email", "ben@shop.test"), 5)]
    day = iter(range(1, 99))

    def step(edges: list[Seen]) -> dict[Node, str]:
        support.write_graph(store, edges, as_of=AS_OF + timedelta(days=next(day)))
        support.resolve(store)
        return support.profiles(store)

    def changes() -> list[tuple[Any, ...]]:
        return support.rows(
            store,
            """select before_profile_id, after_profile_id, kind, n_identifiers, is_before_alive, cause, cause_detail
               from analytics.identity_changes where changed_at = (select as_of from analytics.clock) order by all""",
        )

    apart = step(ann + ben)
    a, b = apart["customer_id", "a"], apart["customer_id", "b"]
    assert (len(set(apart.values())), changes()) == (2, [])
    joined = step([*ann, *ben, Seen(("customer_id", "b"), ("user_id", "ua"), 50, "shop_order")])
    assert set(joined.values()) == {a}
    assert changes() == [(b, a, "merge", 2, False, "edge", "shop_order: customer_id, user_id")]
    assert support.rows(store, "select * from analytics.identity_successions") == [(b, a)]

    rule(store, "cut", ("customer_id", "b"), ("user_id", "ua"), "cut-1")
    again = [Seen(("customer_id", "b"), ("user_id", "ua"), 90, "crm_contact", 50), *ann, *ben]
    parted = step(again)
    assert parted == apart  # ben has his own id back
    assert changes() == [(a, b, "split", 2, True, "cut", "cut-1")]
    assert support.rows(store, "select * from analytics.identity_successions") == []
    refreshed(store)
    assert support.profiles(store) == apart, "a cut holds over a full refresh"

    rule(store, "link", ("email", "ben@shop.test"), ("user_id", "ua"), "link-1")
    linked = step(again)
    assert set(linked.values()) == {a}
    assert changes() == [(b, a, "merge", 2, False, "edge", "rule: email, user_id")]


def test_whoever_is_over_budget_leaves_with_all_edges(new_store: Callable[[], Settings]) -> None:
    """A kiosk, a placeholder, and an address in every order; the same number of partners over years is no crowd."""
    store = new_store()
    kiosk = [Seen(("device_id", "kiosk"), ("user_id", f"u{i}"), i) for i in range(40)]
    till = [Seen(("customer_id", f"c{i}"), ("email", "till@shop.test"), i) for i in range(6)]
    years = [Seen(("email", "long@shop.test"), ("user_id", f"y{i}"), i * 24 * 100) for i in range(7)]
    blank = [Seen(("customer_id", f"c{i}"), ("loyalty_card", "NULL"), i) for i in range(3)]
    family = [Seen(("customer_id", f"c{i}"), ("phone", "+4915112345678"), i) for i in range(2)]
    support.write_graph(store, [*kiosk, *till, *years, *blank, *family], as_of=datetime(2029, 1, 1))
    support.resolve(store)
    found = support.profiles(store)
    assert support.rows(
        store,
        """select identifier_type, identifier_value, reason, limit_name, n_partners
           from analytics.int_identity__quarantine order by 1, 2""",
    ) == [
        ("device_id", "kiosk", "over_budget", "more than 5 user_id in 30 days", 40),
        ("email", "till@shop.test", "over_budget", "more than 5 customer_id in 365 days", 6),
        ("loyalty_card", "NULL", "blocked", "placeholder", None),
    ]
    people = [found[("user_id", f"u{i}")] for i in range(40)] + [found[("customer_id", f"c{i}")] for i in range(6)]
    assert len(set(people)) == 46
    assert len({found[("user_id", f"y{i}")] for i in range(7)}) == 1
    for absent in (
        ("device_id", "kiosk"),
        ("loyalty_card", "NULL"),
        ("phone", "+4915112345678"),
    ):
        assert absent not in found
    # the shared mailbox is a profile of its own: what is refused there is carried out there
    assert list(found.values()).count(found["email", "till@shop.test"]) == 1
    assert support.rows(
        store,
        """select left_type, limit_kind, limit_name, count(*) from analytics.identity_splits
           group by all order by all""",
    ) == [
        ("customer_id", "quarantined", "email: more than 5 customer_id in 365 days", 6),
        ("customer_id", "quarantined", "loyalty_card: placeholder", 3),
        ("customer_id", "shared", "phone seen with several people", 2),
        ("device_id", "quarantined", "device_id: more than 5 user_id in 30 days", 40),
    ]
    health = dict(support.rows(store, "select metric, is_ok from analytics.identity_health"))
    assert (health["identifiers_over_budget"], health["largest_component"]) == (False, True)


def test_a_telephone_with_a_name_joins_and_one_that_nobody_owns_does_not(new_store: Callable[[], Settings]) -> None:
    """A family's telephone with one name in two records; a placeholder, a switchboard, a name too often."""
    store = new_store()

    def named(phone: str, name: str, *records: Node) -> list[Seen]:
        made = ("phone_and_name", f"{phone} {name}")
        pairs = [(records[0], made), *((record, made) for record in records[1:])]
        return [
            seen
            for hour, (record, node) in enumerate(pairs)
            for seen in (
                Seen(record, node, hour),
                Seen(record, ("phone", phone), hour),
                Seen(("phone", phone), node, hour),
            )
        ]

    home, directory, office = "+4915112345678", "+18005551212", "+442079460000"
    ann = named(home, "ann", ("contact_id", "ann"), ("customer_id", "ann"))
    tom = named(home, "tom", ("contact_id", "tom"))
    eve = named("+4915112345679", "eve", ("contact_id", "eve"), ("customer_id", "eve"))
    nobody = named(directory, "kim", ("contact_id", "kim1"), ("contact_id", "kim2"))
    desk = named(office, "lee", ("contact_id", "lee1"), ("contact_id", "lee2"))
    desk += [Seen(("contact_id", f"desk{i}"), ("phone", office), i) for i in range(4)]
    crowd = named("+4915112345670", "max", *(("contact_id", f"max{i}") for i in range(4)))
    support.write_graph(store, [*ann, *tom, *eve, *nobody, *desk, *crowd], as_of=AS_OF)
    support.resolve(store)
    found = support.profiles(store)
    assert found["contact_id", "ann"] == found["customer_id", "ann"] != found["contact_id", "tom"]
    assert ("phone", home) not in found
    assert found["contact_id", "eve"] == found["customer_id", "eve"] == found["phone", "+4915112345679"]
    apart = [("contact_id", name) for name in ("kim1", "kim2", "lee1", "lee2", "max0", "max1", "max2", "max3")]
    assert len({found[record] for record in apart}) == len(apart)
    assert support.rows(
        store,
        """select identifier_value, reason, limit_name from analytics.int_identity__quarantine
           where identifier_type = 'phone_and_name' order by 1""",
    ) == [
        (f"{directory} kim", "blocked", "phone: placeholder"),
        (f"{office} lee", "over_budget", "phone: more than 5 contact_id in 365 days"),
        ("+4915112345670 max", "over_budget", "more than 3 contact_id in 365 days"),
    ]
    # no profile is made of a telephone with a name alone
    names = {node for node in found if node[0] == "phone_and_name"}
    assert {value.split()[1] for _, value in names} == {"ann", "tom", "eve"}


def test_a_role_address_joins_nobody(new_store: Callable[[], Settings]) -> None:
    """Of one person alone it is hers; of two colleagues it is neither's, and stands alone."""
    store = new_store()
    office, shop = ("email", "office@firm.test"), ("email", "info@shop.test")
    edges = [Seen(("contact_id", f"k{i}"), office, i) for i in range(2)] + [Seen(("contact_id", "k9"), shop, 3)]
    support.write_graph(store, edges, as_of=AS_OF, roles=[office, shop])
    support.resolve(store)
    found = support.profiles(store)
    assert len({found["contact_id", "k0"], found["contact_id", "k1"], found[office]}) == 3
    assert found[shop] == found["contact_id", "k9"]


def test_a_long_chain_is_one_person(new_store: Callable[[], Settings]) -> None:
    """Two thousand identifiers in a row, with the limit out of the way."""
    store = new_store()
    edges = [Seen(("email", f"{i:05}@chain.test"), ("email", f"{i + 1:05}@chain.test"), i % 97) for i in range(2000)]
    support.write_graph(store, edges, as_of=AS_OF)
    support.resolve(store, identity_max_component_size=10_000)
    found = support.profiles(store)
    assert len(found) == 2001
    assert len(set(found.values())) == 1

"""Rules: recorded once, in one order, never against each other, withdrawn but not forgotten; what a cut would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identity.identifiers import Identifier
from identity.rules import Action, AddedRule, add_rule, list_rules, withdraw_rule
from tests.cli.conftest import Outcome
from tests.identity.store import name
from warehouse.connection import connect
from warehouse.errors import ConfigError, DataError, MailwrightError, RefusedError
from warehouse.settings import Settings

Call = Callable[..., Outcome]


def add(settings: Settings, action: Action, one: str, other: str, **options: Any) -> AddedRule:
    return add_rule(settings, action, name(one), name(other), options.pop("reason", "so they say"), **options)


def ways(added: AddedRule) -> list[str]:
    """Names along the path by which the two still hang together."""
    assert added.outlook is not None
    path = added.outlook.path
    return [] if path is None else [f"{one.type}:{one.value}" for one in (path[0].one, *(step.other for step in path))]


def test_a_rule_is_one_row_in_the_order_of_the_graph(small: Settings) -> None:
    added = add(small, "cut", "email:ann@example.org", "contact_id:c1", reason="  a  typing\nerror ")
    with connect(small, read_only=True) as con:
        rows = con.execute("select * exclude (created_at) from identity.rules").fetchall()
    assert rows == [
        (added.rule.rule_id, "cut", "contact_id", "c1", "email", "ann@example.org", "a typing error", None, None)
    ]
    assert list_rules(small) == [added.rule]


def test_a_cut_tells_whether_they_still_hang_together(small: Settings) -> None:
    first = add(small, "cut", "customer_id:7", "user_id:u1")
    assert ways(first) == ["customer_id:7", "email:ann@example.org", "user_id:u1"]
    second = add(small, "cut", "user_id:u1", "email:ann@example.org")
    assert ways(second) == []  # the first cut counts already, though nothing was built since
    withdraw_rule(small, first.rule.rule_id, "it was right")
    third = add(small, "cut", "customer_id:7", "email:ann@example.org")
    assert ways(third) == []


def test_links_that_wait_for_the_next_build_count(small: Settings) -> None:
    cut = add(small, "cut", "contact_id:c1", "email:ann@example.org")
    assert ways(cut) == []
    withdraw_rule(small, cut.rule.rule_id, "wait")
    # by two links, through another person
    add(small, "link", "contact_id:c1", "customer_id:8")
    add(small, "link", "email:eve@example.org", "user_id:u1")
    again = add(small, "cut", "contact_id:c1", "email:ann@example.org")
    assert ways(again) == [
        "contact_id:c1", "customer_id:8", "email:eve@example.org", "user_id:u1", "email:ann@example.org",
    ]  # fmt: skip


def test_no_attach_identifier_holds_two_together(small: Settings) -> None:
    """Both ends of the edge are seen on one device: that joins nobody."""
    with connect(small) as con:
        con.execute(
            "insert into analytics.int_identity__edges select d.node_key, c.node_key, 'contact_id', 'c1', 'device_id', "
            "'d1', 1, timestamp '2026-01-01', timestamp '2026-01-01', 1, 1, 'web_event', 'attach', true, null, null, "
            "null from analytics.int_identity__identifiers as d, analytics.int_identity__identifiers as c "
            "where d.identifier_value = 'd1' and c.identifier_value = 'c1'"
        )
    assert ways(add(small, "cut", "device_id:d1", "user_id:u1")) == [
        "device_id:d1", "contact_id:c1", "email:ann@example.org", "user_id:u1",
    ]  # fmt: skip
    device = next(rule for rule in list_rules(small) if rule.left.type == "device_id")
    withdraw_rule(small, device.rule_id, "back")
    assert ways(add(small, "cut", "contact_id:c1", "email:ann@example.org")) == []


def test_a_cut_that_was_built_and_withdrawn_joins_again(small: Settings) -> None:
    built = add(small, "cut", "customer_id:10", "loyalty_card:55").rule
    with connect(small) as con:
        con.execute(
            "update analytics.int_identity__edges set refusal_detail = ? where refusal = 'cut'", [built.rule_id]
        )
        con.execute(
            "insert into analytics.int_identity__edges select a.node_key, b.node_key, 'customer_id', '10', 'user_id', "
            "'u9', 5, timestamp '2026-01-01', timestamp '2026-01-01', 1, 1, 'shop_order', 'bridge', true, null, null, "
            "null from analytics.int_identity__identifiers as a, analytics.int_identity__identifiers as b "
            "where a.identifier_value = '10' and b.identifier_value = 'u9'"
        )
        con.execute("update analytics.int_identity__identifier_profiles set profile_id = 'nine'")
    withdraw_rule(small, built.rule_id, "hers after all")
    again = add(small, "cut", "customer_id:10", "user_id:u9")
    assert ways(again) == ["customer_id:10", "loyalty_card:55", "user_id:u9"]


@pytest.mark.parametrize(
    ("action", "one", "other", "options", "error", "said"),
    [
        ("cut", "customer_id:7", "customer_id:7", {}, ConfigError, "one and the same"),
        ("cut", "customer_id:7", "user_id:u1", {"reason": " \n"}, ConfigError, "needs a reason"),
        ("cut", "customer_id:7", "customer_id:8", {}, RefusedError, "nothing to cut"),
        ("cut", "customer_id:7", "customer_id:70", {}, RefusedError, "no such identifier"),
        ("link", "customer_id:7", "email:new@example.org", {}, RefusedError, "no such identifier"),
        ("link", "customer_id:7", "email:sha256:0123456789ab", {"anyway": True}, DataError, "of this hash"),
    ],
)
def test_refused(
    small: Settings,
    action: Action,
    one: str,
    other: str,
    options: dict[str, Any],
    error: type[MailwrightError],
    said: str,
) -> None:
    with pytest.raises(error, match=said) as caught:
        add(small, action, one, other, **options)
    assert caught.value.todo
    assert "@" not in str(caught.value)
    assert list_rules(small, withdrawn=True) == []


def test_what_later_data_may_bring_is_recorded_on_demand(small: Settings) -> None:
    cut = add(small, "cut", "customer_id:7", "customer_id:8", anyway=True)
    assert cut.outlook is not None
    assert not cut.outlook.is_edge
    link = add(small, "link", "customer_id:7", "email:new@example.org", anyway=True)
    assert link.outlook is None
    assert len(list_rules(small)) == 2


def test_without_a_graph_only_on_demand(settings: Settings) -> None:
    with pytest.raises(DataError, match="no identity graph"):
        add(settings, "cut", "customer_id:7", "customer_id:8")
    assert add(settings, "cut", "customer_id:7", "customer_id:8", anyway=True).outlook is None


def test_the_same_pair_twice_or_both_ways_is_refused(small: Settings) -> None:
    rule = add(small, "cut", "customer_id:7", "user_id:u1").rule
    with pytest.raises(RefusedError, match="that rule already") as caught:
        add(small, "cut", "user_id:u1", "customer_id:7")
    assert rule.rule_id in str(caught.value)
    with pytest.raises(RefusedError, match="contradict") as caught:
        add(small, "link", "user_id:u1", "customer_id:7", anyway=True)
    assert f"withdraw {rule.rule_id}" in str(caught.value)
    withdraw_rule(small, rule.rule_id, "no longer")
    link = add(small, "link", "user_id:u1", "customer_id:7").rule
    with pytest.raises(RefusedError, match="contradict"):
        add(small, "cut", "user_id:u1", "customer_id:7")
    assert [one.rule_id for one in list_rules(small)] == [link.rule_id]
    assert [one.rule_id for one in list_rules(small, withdrawn=True)] == [rule.rule_id, link.rule_id]


def test_withdrawn_once_with_a_reason(small: Settings) -> None:
    rule = add(small, "cut", "customer_id:7", "user_id:u1").rule
    with pytest.raises(ConfigError, match="reason"):
        withdraw_rule(small, rule.rule_id, "")
    withdrawn = withdraw_rule(small, rule.rule_id, "one person")
    assert list_rules(small, withdrawn=True) == [withdrawn]
    assert withdrawn.withdrawn_reason == "one person"
    assert withdrawn.withdrawn_at is not None
    with pytest.raises(RefusedError, match="withdrawn already"):
        withdraw_rule(small, rule.rule_id, "again")
    with pytest.raises(DataError, match="no rule 'rule_x'"):
        withdraw_rule(small, "rule_x", "again")
    assert list_rules(small, withdrawn=True) == [withdrawn]


def test_an_address_may_be_given_as_its_hash(small: Settings) -> None:
    hashed = name("email:ann@example.org").shown().partition(":")[2]
    added = add_rule(small, "cut", Identifier("email", hashed), name("contact_id:c1"), "a typing error")
    assert added.rule.right == name("email:ann@example.org")


def test_on_the_command_line(mailwright: Call, small: Settings) -> None:
    def call(*args: str) -> Outcome:
        outcome = mailwright("--target", "prod", "identity", *args, home=small.home)
        assert "Traceback" not in outcome.stderr
        assert "@" not in outcome.stdout + outcome.stderr
        return outcome

    cut = call("cut", "customer_id:7", "user_id:u1", "--reason", "said ann@example.org")
    assert cut.code == 0, cut.stderr
    assert "The next build applies it: mailwright build." in cut.stdout
    assert "still hang together by another path (2 edges)" in cut.stdout
    more = call("cut", "email:Ann@example.org", "user_id: u1", "--reason", "x", "--json")
    assert more.document["path"] is None
    assert more.document["were_one_person"]
    rule_id = more.document["rule"]["rule_id"]
    last = call("cut", "contact_id:c1", "email:ann@example.org", "--reason", "x")
    assert "Nothing else holds them together." in last.stdout
    listed = call("list")
    assert listed.stdout.count("rule_") == 3
    assert "said [address]" in listed.stdout
    withdrawn = call("withdraw", rule_id, "--reason", "after all", "--json")
    assert withdrawn.document["rule"]["withdrawn_reason"] == "after all"
    assert len(call("list", "--json").document["rules"]) == 2
    assert len(call("list", "--all", "--json").document["rules"]) == 3
    assert call("withdraw", rule_id, "--reason", "again").code == 4
    assert call("withdraw", "rule_0", "--reason", "again").code == 3
    assert call("link", "customer_id:7", "user_id:u1", "--reason", "x").code == 4
    assert call("link", "customer_id:7", "customer_id:8").code == 2  # no reason
    assert call("link", "customer_id:7", "customer_id:8", "--reason", "").code == 2
    assert call("link", "customer_id:7", "customer_id:8", "--reason", "x").code == 0
    assert call("cut", "loyality_card:1", "customer_id:8", "--reason", "x").code == 2
    failed = call("cut", "customer_id:7", "customer_id:9", "--reason", "x", "--json")
    assert failed.document["error"]["kind"] == "RefusedError"
    shown = mailwright("--target", "prod", "identity", "list", "--show-values", home=small.home)
    assert "said ann@example.org" in shown.stdout
    assert "email:ann@example.org" in shown.stdout


@pytest.mark.parametrize("command", ["cut", "link", "list", "withdraw", "explain", "report"])
def test_help_teaches(mailwright: Call, command: str) -> None:
    outcome = mailwright("identity", command, "--help")
    assert outcome.code == 0
    for expected in ("Example", "Exit codes", "--json", "--home", "--target", "--show-values"):
        assert expected in outcome.stdout


@pytest.mark.parametrize("command", [["list"], ["report"], ["explain", "customer_id:7"]])
def test_without_a_warehouse_readers_say_how_to_get_one(mailwright: Call, command: list[str]) -> None:
    outcome = mailwright("identity", *command)
    assert outcome.code == 3
    assert "There is no warehouse yet." in outcome.stderr


def test_a_link_says_when_it_will_join_nobody(mailwright: Call, small: Settings) -> None:
    def link(*pair: str) -> str:
        outcome = mailwright("--target", "prod", "identity", "link", *pair, "--reason", "x", home=small.home)
        assert outcome.code == 0, outcome.stderr
        return outcome.stdout

    assert "is quarantined" in link("email:office@example.org", "customer_id:7")
    assert "joins no two" in link("phone:+442079460000", "user_id:u1")
    joined = link("customer_id:7", "customer_id:8")
    assert "quarantined" not in joined
    assert "joins no two" not in joined
    # neither holds two together, should something else be cut
    added = add(small, "cut", "customer_id:8", "email:eve@example.org")
    assert ways(added) == []


def test_a_link_that_was_built_and_withdrawn_holds_nothing(small: Settings) -> None:
    with connect(small) as con:
        con.execute(
            "update analytics.int_identity__edges set sources = 'rule' where left_value = '7' and right_value = 'u1'"
        )
    built = add(small, "link", "customer_id:7", "user_id:u1").rule
    added = add(small, "cut", "customer_id:7", "email:ann@example.org")
    assert ways(added) == ["customer_id:7", "user_id:u1", "email:ann@example.org"]
    withdraw_rule(small, added.rule.rule_id, "wait")
    withdraw_rule(small, built.rule_id, "two people")
    assert ways(add(small, "cut", "customer_id:7", "email:ann@example.org")) == []

"""People's own decisions on pairs of identifiers: cut an edge, link two that nothing shows together.

Rules are kept for good: one that no longer holds is withdrawn, with a reason, and stays readable. The next build
applies what is in force.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

import duckdb

from identity.explain import Step, identifier_dict, path_within
from identity.graph import Graph, Node
from identity.identifiers import Identifier
from identity.paths import Edge
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError, DataError, RefusedError
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

Action = Literal["cut", "link"]
LINK_STRENGTH = 9
RULE = "rule"
"""The source of an edge that a link makes, and its strength: as in `int_identity__edges`."""
_COLUMNS = (
    "rule_id, action, left_type, left_value, right_type, right_value, reason, created_at, withdrawn_at, "
    "withdrawn_reason"
)


@dataclass(frozen=True)
class Rule:
    """One row of `identity.rules`."""

    rule_id: str
    action: Action
    left: Identifier
    right: Identifier
    reason: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_reason: str | None = None

    @property
    def is_active(self) -> bool:
        return self.withdrawn_at is None

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        return asdict(self) | {
            "left": identifier_dict(self.left, values=values),
            "right": identifier_dict(self.right, values=values),
        }


@dataclass(frozen=True)
class Outlook:
    """What a new rule meets in the graph as it was last built."""

    is_edge: bool
    are_one_person: bool
    path: tuple[Step, ...] | None
    """By what the two hang together once the rules in force are applied, this one among them.

    For an attach identifier that is what speaks for it, no promise: whatever else it is seen with must agree.
    """
    attach: tuple[Identifier, ...]
    """Which of the two are attach identifiers: a link makes them somebody's, and joins no two people."""
    quarantined: tuple[Identifier, ...]
    """Which of the two have left the graph: no edge of theirs joins, not even a link."""


@dataclass(frozen=True)
class AddedRule:
    rule: Rule
    outlook: Outlook | None
    """None: one of the two is not in the graph yet, or there is none."""

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        outlook = self.outlook
        return {
            "rule": self.rule.to_dict(values=values),
            "in_graph": outlook is not None,
            "is_edge": outlook is not None and outlook.is_edge,
            "were_one_person": outlook is not None and outlook.are_one_person,
            "path": [step.to_dict(values=values) for step in outlook.path] if outlook and outlook.path else None,
            "attach": [identifier_dict(end, values=values) for end in outlook.attach] if outlook else [],
            "quarantined": [identifier_dict(end, values=values) for end in outlook.quarantined] if outlook else [],
        }


def add_rule(
    settings: Settings, action: Action, one: Identifier, other: Identifier, reason: str, *, anyway: bool = False
) -> AddedRule:
    """Record a rule; the next build applies it.

    Args:
        settings: the installation; its schema is the graph that the rule is held against.
        action: what to do.
        one: an identifier.
        other: the other one, in either order.
        reason: for those who come later.
        anyway: also if the graph has no such edge (cut) or identifier (link): later data may bring it.

    Raises:
        ConfigError: no reason, or a pair of one identifier. RefusedError: there is that rule, or its contrary, already;
        or the graph does not have the pair. DataError: there is no graph.
    """
    reason = _stated(reason)
    with connect(settings, purpose="identity rules") as con:
        ensure_state(con, settings)
        graph = Graph(con, settings.schema)
        nodes = _nodes(graph, one, other, anyway=anyway)
        left, right = sorted(
            node.identifier if node else asked for node, asked in zip(nodes, (one, other), strict=True)
        )
        if left == right:
            raise ConfigError(
                "A rule needs two identifiers; these are one and the same.", where=left.shown(), todo="name another one"
            )
        rules = read_rules(con)
        _refuse_contradiction(rules, action, left, right)
        _refuse_unknown(graph, action, nodes, (one, other), anyway=anyway)
        rule = Rule(new_id("rule"), action, left, right, reason, utcnow())
        con.execute(
            f"insert into identity.rules ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, null, null)",
            [rule.rule_id, action, left.type, left.value, right.type, right.value, reason, rule.created_at],
        )
        known = [node for node in nodes if node is not None]
        outlook = _outlook(graph, known[0], known[1], [*rules, rule]) if len(known) == 2 else None
    return AddedRule(rule, outlook)


def withdraw_rule(settings: Settings, rule_id: str, reason: str) -> Rule:
    """Take a rule out of force; it stays readable.

    Raises:
        ConfigError: no reason. DataError: no such rule. RefusedError: it was withdrawn before.
    """
    reason = _stated(reason)
    with connect(settings, purpose="identity rules") as con:
        ensure_state(con, settings)
        rule = next((rule for rule in read_rules(con) if rule.rule_id == rule_id), None)
        if rule is None:
            raise DataError(f"There is no rule '{rule_id}'.", todo="`mailwright identity list` shows them")
        if rule.withdrawn_at is not None:
            raise RefusedError(
                f"That rule was withdrawn already, at {rule.withdrawn_at:%Y-%m-%d %H:%M}.",
                where=rule_id,
                todo="nothing; to bring it back, make it anew",
            )
        now = utcnow()
        con.execute(
            "update identity.rules set withdrawn_at = ?, withdrawn_reason = ? where rule_id = ?", [now, reason, rule_id]
        )
    return replace(rule, withdrawn_at=now, withdrawn_reason=reason)


def list_rules(settings: Settings, *, withdrawn: bool = False) -> list[Rule]:
    """Rules in force, oldest first; with `withdrawn`, the others too."""
    with connect(settings, read_only=True, purpose="identity rules") as con:
        return [rule for rule in read_rules(con) if withdrawn or rule.is_active]


def read_rules(con: duckdb.DuckDBPyConnection) -> list[Rule]:
    """All rules, oldest first; none where the table does not exist yet."""
    try:
        rows = con.execute(f"select {_COLUMNS} from identity.rules order by created_at, rule_id").fetchall()
    except duckdb.CatalogException:
        return []
    return [Rule(row[0], row[1], Identifier(*row[2:4]), Identifier(*row[4:6]), *row[6:]) for row in rows]


def _stated(reason: str) -> str:
    text = " ".join(reason.split())
    if not text:
        raise ConfigError("A rule needs a reason.", where="--reason", todo='say why, e.g. --reason "father and son"')
    return text


def _nodes(graph: Graph, one: Identifier, other: Identifier, *, anyway: bool) -> tuple[Node | None, Node | None]:
    try:
        found = graph.find(one), graph.find(other)
    except DataError:
        if not anyway:
            raise
        found = None, None
    for identifier, node in zip((one, other), found, strict=True):
        if identifier.digest and node is None:
            raise DataError(
                "The graph has no identifier of this hash.",
                where=f"{identifier.shown()}, schema {graph.schema}",
                todo="write the value itself",
            )
    return found


def _refuse_contradiction(rules: list[Rule], action: Action, left: Identifier, right: Identifier) -> None:
    standing = next((rule for rule in rules if rule.is_active and (rule.left, rule.right) == (left, right)), None)
    if standing is None:
        return
    where = f"{standing.rule_id}, {standing.action}, since {standing.created_at:%Y-%m-%d}"
    if standing.action == action:
        raise RefusedError(
            "There is that rule already.", where=where, todo="nothing: every build applies it until it is withdrawn"
        )
    raise RefusedError(
        f"A {standing.action} of the same pair is in force: the two contradict each other.",
        where=where,
        todo=f"first `mailwright identity withdraw {standing.rule_id} --reason …`",
    )


def _refuse_unknown(
    graph: Graph,
    action: Action,
    nodes: tuple[Node | None, Node | None],
    asked: tuple[Identifier, Identifier],
    *,
    anyway: bool,
) -> None:
    """A rule on something that is not there is most often a slip of the pen."""
    if anyway:
        return
    missing = [identifier.shown() for identifier, node in zip(asked, nodes, strict=True) if node is None]
    if missing:
        raise RefusedError(
            f"The graph of schema '{graph.schema}' has no such identifier.",
            where=", ".join(missing),
            todo="look at the spelling; add --anyway if later data will bring it",
        )
    one, other = nodes
    if action == "cut" and one and other and graph.edge(one, other) is None:
        raise RefusedError(
            "There is nothing to cut: no source shows these two together.",
            where=f"schema {graph.schema}",
            todo="`mailwright identity explain` prints the edges by which they hang together; cut one of those, or add "
            "--anyway if later data may bring this one",
        )


def _outlook(graph: Graph, one: Node, other: Node, rules: list[Rule]) -> Outlook:
    """The profiles of the two, and those that links in force reach from there, with the rules applied to them."""
    active = {(rule.left, rule.right): rule for rule in rules if rule.is_active}
    withdrawn = {rule.rule_id for rule in rules if not rule.is_active}
    nodes = {node.key: node for node in (one, other)}
    links: dict[tuple[Identifier, Identifier], tuple[Node, Node, Rule]] = {}
    while True:
        profiles = {node.profile_id for node in nodes.values() if node.profile_id}
        nodes |= {node.key: node for node in graph.nodes_of(profiles)}
        there = {node.identifier for node in nodes.values()}
        new = [pair for pair, rule in active.items() if rule.action == "link" and pair not in links and there & {*pair}]
        if not new:
            break
        for pair in new:
            ends = graph.find(pair[0]), graph.find(pair[1])
            if ends[0] and ends[1]:
                links[pair] = (ends[0], ends[1], active[pair])
                nodes |= {end.key: end for end in ends if end}
            else:
                active.pop(pair)
    edges = [
        edge
        for edge in graph.among(nodes)
        if (edge.left, edge.right) not in active
        and edge.sources != (RULE,)  # a link that was withdrawn since that build
        and (edge.is_active or (edge.refusal == "cut" and edge.refusal_detail in withdrawn))
    ]
    edges += [
        Edge(
            left.key, right.key, left.identifier, right.identifier, LINK_STRENGTH, rule.created_at, rule.created_at, 1,
            (RULE,), "bridge" if left.is_bridge and right.is_bridge else "attach",
        )
        for left, right, rule in links.values()
    ]  # fmt: skip
    # what is in quarantine has no edge that joins, whatever rule says so
    edges = [edge for edge in edges if not any(nodes[key].quarantine_reason for key in (edge.left_key, edge.right_key))]
    path = path_within(edges, nodes, one, other)
    return Outlook(
        is_edge=graph.edge(one, other) is not None,
        are_one_person=one.profile_id is not None and one.profile_id == other.profile_id,
        path=None if path is None else tuple(_steps(path, one)),
        attach=tuple(node.identifier for node in (one, other) if not node.is_bridge),
        quarantined=tuple(node.identifier for node in (one, other) if node.quarantine_reason),
    )


def _steps(path: list[Edge], start: Node) -> list[Step]:
    steps: list[Step] = []
    name = start.identifier
    for edge in path:
        after = edge.right if edge.left == name else edge.left
        steps.append(Step(name, after, edge))
        name = after
    return steps

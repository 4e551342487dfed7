"""The asset graph as text that a person can read and a test can compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Node:
    """One asset."""

    key: str
    group: str
    owners: tuple[str, ...]
    kinds: tuple[str, ...]
    description: str
    deps: tuple[str, ...]
    checks: tuple[str, ...]
    """Names of the checks that are not dbt tests; a blocking one ends in `!`."""
    n_dbt_tests: int
    is_made_here: bool
    """False: something outside of the graph leaves it (a clock, a log of loads)."""


def graph_nodes(definitions: dg.Definitions) -> list[Node]:
    """Every asset of the graph, by key."""
    graph = definitions.resolve_asset_graph()
    nodes: list[Node] = []
    for key in sorted(graph.get_all_asset_keys(), key=lambda item: item.to_user_string()):
        node = graph.get(key)
        specs = [graph.get_check_spec(check) for check in graph.get_check_keys_for_assets({key})]
        ours = [spec for spec in specs if not any(name.startswith("dagster_dbt/") for name in spec.metadata)]
        nodes.append(
            Node(
                key=key.to_user_string(),
                group=str(node.group_name),
                owners=tuple(node.owners or ()),
                kinds=tuple(sorted(node.kinds or ())),
                description=node.description or "",
                deps=tuple(sorted(parent.to_user_string() for parent in node.parent_keys)),
                checks=tuple(sorted(spec.name + ("!" if spec.blocking else "") for spec in ours)),
                n_dbt_tests=len(specs) - len(ours),
                is_made_here=node.is_materializable,
            )
        )
    return nodes


def orphans(nodes: list[Node]) -> list[str]:
    """Assets that do not hang together with the syncs, and dependencies that nobody declares."""
    neighbours: dict[str, set[str]] = {node.key: set(node.deps) for node in nodes}
    for node in nodes:
        for dep in node.deps:
            neighbours.setdefault(dep, set()).add(node.key)
    seen: set[str] = set()
    open_ = [node.key for node in nodes if node.key.startswith("sync/")][:1]
    while open_:
        key = open_.pop()
        if key not in seen:
            seen.add(key)
            open_ += neighbours.get(key, set()) - seen
    declared = {node.key for node in nodes}
    return sorted((declared - seen) | (set(neighbours) - declared))


def graph_text(nodes: list[Node], jobs: dict[str, list[str]]) -> str:
    """One block per group, one asset per line with its dependencies and checks; then what each job runs."""
    lines: list[str] = []
    for group in sorted({node.group for node in nodes}):
        lines.append(f"[{group}]")
        for node in nodes:
            if node.group != group:
                continue
            lines.append(node.key + ("" if node.is_made_here else "  (external)"))
            lines += [f"    <- {dep}" for dep in node.deps]
            lines += [f"    check {check}" for check in node.checks]
            if node.n_dbt_tests:
                lines.append("    check dbt tests")
        lines.append("")
    for name, groups in sorted(jobs.items()):
        lines.append(f"job {name}: {', '.join(groups)}")
    return "\n".join(lines) + "\n"


def groups_of_jobs(definitions: dg.Definitions, nodes: list[Node]) -> dict[str, list[str]]:
    """Which groups each job of the graph runs."""
    group_of = {node.key: node.group for node in nodes}
    found: dict[str, list[str]] = {}
    for job in definitions.resolve_all_job_defs():
        if job.name.startswith("__"):
            continue
        keys = job.asset_layer.executable_asset_keys if job.asset_layer else ()
        found[job.name] = sorted({group_of[key.to_user_string()] for key in keys})
    return found

"""`mailwright identity`: rules on pairs of identifiers, why two hang together, a report on the graph."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import count, percent, plural
from cli.redact import redact
from cli.session import AsOfOption, HomeOption, JsonOption, Session, TargetOption, demo_if_alone, open_session
from cli.teach import add_command
from warehouse.errors import ConfigError

if TYPE_CHECKING:
    from identity.explain import Connection, Limit, Profile, Step
    from identity.graph import Node
    from identity.identifiers import Identifier
    from identity.report import IdentityReport
    from identity.rules import Action, AddedRule, Rule

OneArgument = Annotated[str, typer.Argument(metavar="A", help="An identifier, as type:value.", show_default=False)]
OtherArgument = Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for those who come later.", show_default=False)]
ValuesOption = Annotated[
    bool, typer.Option("--show-values", help="Print addresses as they are, not as hashes (sha256:…).")
]
AnywayOption = Annotated[
    bool, typer.Option("--anyway", help="Also if the graph does not have it: later data may bring it.")
]
NEXT_BUILD = "The next build applies it: [bold]mailwright build[/bold]."


def cut_command(
    ctx: typer.Context,
    one: OneArgument,
    other: OtherArgument,
    reason: ReasonOption,
    anyway: AnywayOption = False,
    show_values: ValuesOption = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut the edge between two identifiers: what shows them together counts no more, from the next build on.

    Says whether the two would hang together by another path, and prints it. A phone or e-mail is normalized as it was
    on loading; an address may be given as the hash that other commands show (`email:sha256:…`).

    [bold]Examples[/bold]

      mailwright identity cut customer_id:7 email:ann@example.org --reason "her mother's"
      mailwright identity cut user_id:u1 loyalty_card:55 --reason "sold" --anyway

    [bold]Exit codes[/bold]: 0 recorded · 2 not an identifier, or no reason · 3 no graph · 4 no such edge, or a rule is
    there already · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    _add(session, "cut", one, other, reason, anyway=anyway, values=show_values)


def link_command(
    ctx: typer.Context,
    one: OneArgument,
    other: OtherArgument,
    reason: ReasonOption,
    anyway: AnywayOption = False,
    show_values: ValuesOption = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Link two identifiers that nothing shows together, from the next build on.

    [bold]Example[/bold]

      mailwright identity link contact_id:c12 customer_id:7 --reason "she said so"

    [bold]Exit codes[/bold]: 0 recorded · 2 not an identifier, or no reason · 3 no graph · 4 not in the graph, or a rule
    is there already · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    _add(session, "link", one, other, reason, anyway=anyway, values=show_values)


def _add(session: Session, action: Action, one: str, other: str, reason: str, *, anyway: bool, values: bool) -> None:
    from identity.identifiers import parse_identifier
    from identity.rules import add_rule

    pair = parse_identifier(one, "the first identifier"), parse_identifier(other, "the second identifier")
    added = add_rule(session.settings, action, *pair, reason, anyway=anyway)
    session.out.result(added.to_dict(values=values), lambda console: _draw_added(console, added, values=values))


def _draw_added(console: Console, added: AddedRule, *, values: bool) -> None:
    rule, outlook = added.rule, added.outlook
    pair = f"{rule.left.shown(values=values)} and {rule.right.shown(values=values)}"
    console.print(Text(f"Recorded as {rule.rule_id}: {rule.action} {pair}."), soft_wrap=True)
    console.print(NEXT_BUILD)
    if outlook is None:
        console.print("The graph does not have both of them yet; the rule waits for them.")
        return
    if rule.action == "link":
        if outlook.are_one_person:
            console.print("They are one person already; the link holds even if what joins them now goes away.")
        for end in outlook.quarantined:
            name = end.shown(values=values)
            console.print(Text(f"{name} is quarantined: as long as it is, the link does nothing."), soft_wrap=True)
        for end in outlook.attach:
            name = end.shown(values=values)
            console.print(Text(f"{name} can belong to a person, but joins no two: of tier attach."), soft_wrap=True)
        return
    if not outlook.is_edge:
        console.print("No source shows these two together yet; the rule waits for one that does.")
    if outlook.path is None:
        console.print(
            "Nothing else holds them together." if outlook.are_one_person else "They are not one person now, either."
        )
        return
    console.print(
        f"[yellow]They still hang together by another path[/yellow] ({plural(len(outlook.path), 'edge')}); "
        "to part them, cut one of these too:\n"
    )
    _draw_path(console, outlook.path, values=values)


def list_command(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Withdrawn ones too.")] = False,
    show_values: ValuesOption = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """The rules in force, oldest first.

    [bold]Example[/bold]

      mailwright --target prod identity list --all

    [bold]Exit codes[/bold]: 0 shown · 3 no warehouse · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from identity.rules import list_rules

    rules = list_rules(session.settings, withdrawn=everything)
    data = {"rules": [rule.to_dict(values=show_values) for rule in rules]}
    if not show_values:
        for item in data["rules"]:
            item |= {key: redact(item[key]) for key in ("reason", "withdrawn_reason") if item[key]}
    session.out.result(data, lambda console: _draw_rules(console, rules, values=show_values))


def _draw_rules(console: Console, rules: list[Rule], *, values: bool) -> None:
    if not rules:
        console.print("No rules.")
        return
    for rule in rules:
        pair = f"{rule.left.shown(values=values)} and {rule.right.shown(values=values)}"
        console.print(Text(f"{rule.rule_id}  {rule.action} {pair}"), soft_wrap=True)
        _line(console, f"since {_minute(rule.created_at)}: {rule.reason}", values=values)
        if rule.withdrawn_at:
            _line(console, f"withdrawn {_minute(rule.withdrawn_at)}: {rule.withdrawn_reason}", values=values)


def _line(console: Console, text: str, *, values: bool) -> None:
    console.print(Text(f"    {text if values else redact(text)}", style="dim"), soft_wrap=True)


def withdraw_command(
    ctx: typer.Context,
    rule_id: Annotated[str, typer.Argument(metavar="RULE", help="As `identity list` shows it.", show_default=False)],
    reason: ReasonOption,
    show_values: ValuesOption = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a rule out of force, from the next build on. It stays readable (`identity list --all`).

    [bold]Example[/bold]

      mailwright identity withdraw rule_01a2… --reason "one person after all"

    [bold]Exit codes[/bold]: 0 withdrawn · 2 no reason · 3 no such rule · 4 it was withdrawn before · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from identity.rules import withdraw_rule

    rule = withdraw_rule(session.settings, rule_id, reason)
    pair = f"{rule.left.shown(values=show_values)} and {rule.right.shown(values=show_values)}"

    def draw(console: Console) -> None:
        console.print(Text(f"Withdrawn: {rule.rule_id}, {rule.action} {pair}."), soft_wrap=True)
        console.print(NEXT_BUILD)

    session.out.result({"rule": rule.to_dict(values=show_values)}, draw)


def explain_command(
    ctx: typer.Context,
    one: Annotated[
        str, typer.Argument(metavar="A", help="An identifier, as type:value, or profile_id:…", show_default=False)
    ],
    other: Annotated[str | None, typer.Argument(metavar="B", help="Another identifier.", show_default=False)] = None,
    show_values: ValuesOption = False,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why two identifiers are one person, or why not; with one alone, its whole profile.

    Prints the shortest path of edges with what showed each, when and how often. If the two are not one person but a
    path leads over edges that were refused, prints that, and names each limit. Reads the newest build and changes
    nothing.

    [bold]Examples[/bold]

      mailwright identity explain customer_id:7 email:ann@example.org
      mailwright identity explain email:sha256:0f6a1b2c3d4e --show-values
      mailwright --target prod identity explain profile_id:1f3870be274f6c49b3e…

    [bold]Exit codes[/bold]: 0 answered, whichever way · 2 not an identifier · 3 not in the graph, or no graph ·
    5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    from identity import explain
    from identity.graph import Graph
    from identity.identifiers import parse_identifier
    from warehouse.connection import connect

    profile_id = one.partition(":")[2].strip() if one.partition(":")[0].strip() == explain.PROFILE else None
    if profile_id is not None and (other is not None or not profile_id):
        raise ConfigError(
            "A profile is explained alone, by its id.",
            where="profile_id:…",
            todo="name two identifiers, or one profile",
        )
    first = None if profile_id else parse_identifier(one, "the first identifier")
    second = parse_identifier(other, "the second identifier") if other is not None else None
    settings = session.settings if session.home_given else demo_if_alone(session.settings)
    with connect(settings, read_only=True, purpose="identity") as con:
        graph = Graph(con, settings.schema)
        if first is not None and second is not None:
            pair = explain.explain_pair(graph, first, second)
            profile = None
        else:
            pair = None
            profile = explain.explain_one(graph, first) if first else explain.explain_profile(graph, str(profile_id))
    if pair is not None:
        session.out.result(
            pair.to_dict(values=show_values), lambda console: _draw_pair(console, pair, values=show_values)
        )
    elif profile is not None:
        session.out.result(
            profile.to_dict(values=show_values), lambda console: _draw_profile(console, profile, values=show_values)
        )


def _draw_pair(console: Console, found: Connection, *, values: bool) -> None:
    one, other = found.one, found.other
    names = f"{one.identifier.shown(values=values)} and {other.identifier.shown(values=values)}"
    if found.is_one_person:
        console.print(Text(f"{names} are one person: profile {one.profile_id}."), soft_wrap=True)
        title = "The shortest path"
    else:
        console.print(Text(f"{names} are not one person."), soft_wrap=True)
        for node in (one, other):
            console.print(Text(f"  {node.identifier.shown(values=values)}: {_place(node)}"), soft_wrap=True)
        title = "The shortest path, over edges that were refused"
    if found.path is None:
        no_path = "No edge of the graph joins them." if found.is_one_person else "No path leads from one to the other."
        console.print(no_path)
        return
    console.print(f"\n{title} ({plural(len(found.path), 'edge')}):\n")
    _draw_path(console, found.path, values=values)
    if found.limits:
        console.print("\nWhat keeps them apart:")
        for limit in found.limits:
            console.print(Text(f"  ✗ {limit.text}"), soft_wrap=True)


def _draw_path(console: Console, path: Iterable[Step], *, values: bool) -> None:
    name: Identifier | None = None
    for step in path:
        if name is None:
            console.print(Text(f"  {step.one.shown(values=values)}", style="bold"), soft_wrap=True)
        name = step.other
        mark, style = ("✗", "yellow") if step.limits or not step.edge.is_active else ("│", "dim")
        console.print(Text(f"    {mark} {_evidence(step)}", style=style), soft_wrap=True)
        console.print(Text(f"  {name.shown(values=values)}", style="bold"), soft_wrap=True)


def _evidence(step: Step) -> str:
    from identity.explain import seen

    edge = step.edge
    text = (
        f"{', '.join(edge.sources) or 'no source'} · {seen(edge.first_seen_at, edge.last_seen_at)}, "
        f"{plural(edge.n_seen, 'time')} · strength {edge.strength} · {edge.tier}"
    )
    return " · ".join([text, *(_short(limit) for limit in step.limits)])


def _short(limit: Limit) -> str:
    return {"max_component_size": "size limit", "attach": "attach only"}.get(limit.kind, limit.kind)


def _place(node: Node) -> str:
    """Where the newest build put an identifier."""
    where = f"profile {node.profile_id}" if node.profile_id else "no profile"
    if node.quarantine_reason:
        where += f", quarantined ({node.quarantine_reason.replace('_', ' ')}: {node.quarantine_limit})"
    if node.is_shared:
        where += ", shared"
    return where


def _draw_profile(console: Console, found: Profile, *, values: bool) -> None:
    if found.profile_id:
        console.print(Text(f"Profile {found.profile_id}: {plural(len(found.nodes), 'identifier')}."), soft_wrap=True)
    elif found.asked:
        console.print(Text(f"{found.asked.identifier.shown(values=values)}: {_place(found.asked)}."), soft_wrap=True)
    rows = [(node.identifier.shown(values=values), _tier(node), _days(node)) for node in found.nodes]
    _table(console, ("identifier", "tier", "seen"), rows)
    if found.edges:
        console.print("\nHeld together by:")
    for step in found.edges:
        _draw_edge(console, step, values=values)
    if found.outside:
        console.print("\nEdges that join nothing:")
    for step in found.outside:
        _draw_edge(console, step, values=values)
    more = found.n_outside - len(found.outside)
    if more > 0:
        console.print(f"  … and {count(more)} more")


def _draw_edge(console: Console, step: Step, *, values: bool) -> None:
    pair = f"{step.one.shown(values=values)} — {step.other.shown(values=values)}"
    console.print(Text(f"  {pair}"), soft_wrap=True)
    mark = "✗" if step.limits else " "
    console.print(Text(f"    {mark} {_evidence(step)}", style="dim"), soft_wrap=True)


def _tier(node: Node) -> str:
    if node.is_bridge or node.identifier.type != "email":
        return node.tier
    return f"{node.tier} ({'role' if node.is_role else 'disposable'})"  # any other address is a bridge


def _days(node: Node) -> str:
    from identity.explain import seen

    return seen(node.first_seen_at, node.last_seen_at)


def report_command(
    ctx: typer.Context,
    show_values: ValuesOption = False,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """The graph in numbers: sizes, merges, quarantine, splits, what the newest builds changed.

    [bold]Examples[/bold]

      mailwright --target prod identity report
      mailwright --target prod identity report --show-values --json

    [bold]Exit codes[/bold]: 0 shown · 3 no graph · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    from identity.graph import Graph
    from identity.report import read_report
    from warehouse.connection import connect

    settings = session.settings if session.home_given else demo_if_alone(session.settings)
    with connect(settings, read_only=True, purpose="identity") as con:
        report = read_report(Graph(con, settings.schema), values=show_values)
    session.out.result(report.to_dict(), lambda console: _draw_report(console, report))


def _draw_report(console: Console, report: IdentityReport) -> None:
    totals, tables = report.totals, report.tables
    per_profile = totals["identifiers_per_profile"]
    console.print(
        Text(
            f"{plural(totals['profiles'], 'profile')} of {plural(totals['identifiers'], 'identifier')} in schema "
            f"{report.schema}: {'–' if per_profile is None else f'{per_profile:.2f}'} each; "
            f"{percent(totals['merged_share'])} join two or more bridge identifiers; "
            f"{percent(totals['singleton_share'])} have one identifier."
        )
    )
    _section(console, "Components by number of bridge identifiers", ("size", "components"), [
        (_size(row["least_size"], row["greatest_size"]), count(row["components"])) for row in tables["sizes"]
    ])  # fmt: skip
    _section(console, "Largest", ("profile", "bridge", "identifiers", "of which"), [
        (row["profile_id"], count(row["n_bridge"]), count(row["n_identifiers"]), row["types"])
        for row in tables["largest"]
    ])  # fmt: skip
    _section(console, "Quarantined", ("reason", "limit", "type", "identifiers", "partners"), [
        (row["reason"], row["limit_name"], row["identifier_type"], count(row["identifiers"]), count(row["partners"]))
        for row in tables["quarantine"]
    ])  # fmt: skip
    _section(console, "Quarantined: the top values", ("identifier", "reason", "limit", "partners"), [
        (f"{row['identifier_type']}:{row['identifier_value']}", row["reason"], row["limit_name"],
         count(row["n_partners"]))
        for row in tables["quarantined_values"]
    ])  # fmt: skip
    _section(console, "Edges that would have joined two people", ("kind", "limit", "edges"), [
        (row["limit_kind"], row["limit_name"], count(row["edges"])) for row in tables["splits"]
    ])  # fmt: skip
    _section(console, "Changes of profile ids", ("build", "kind", "cause", "changes", "identifiers"), [
        (_minute(row["changed_at"]), row["kind"], row["cause"], count(row["changes"]), count(row["identifiers"]))
        for row in tables["changes"]
    ])  # fmt: skip
    _section(console, "Health", ("", "metric", "value", "threshold"), [
        ("✓" if row["is_ok"] in (True, None) else "✗", row["metric"], _number(row["value"]), _number(row["threshold"]))
        for row in tables["health"]
    ])  # fmt: skip


def _size(least: int, greatest: int | None) -> str:
    return str(least) if least == greatest else f"{least}–{greatest}" if greatest else f"{least} or more"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def _section(console: Console, title: str, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    if rows:
        console.print(Text(f"\n{title}", style="bold"))
        _table(console, names, rows)


NUMBERS = {"components", "bridge", "identifiers", "partners", "edges", "changes", "value", "threshold"}


def _table(console: Console, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("–" if cell is None else str(cell)) for cell in row))
    console.print(table)


def register(app: typer.Typer) -> None:
    family = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Who is who: why two identifiers are one person, rules that part or join them, a report.",
    )
    add_command(family, "explain", explain_command)
    add_command(family, "report", report_command)
    add_command(family, "cut", cut_command)
    add_command(family, "link", link_command)
    add_command(family, "list", list_command)
    add_command(family, "withdraw", withdraw_command)
    app.add_typer(family, name="identity")

"""`mailwright segment`: sizes, one and its last days, why somebody is in it, differences, overlaps, a new one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.output import count, percent, plural
from cli.session import HomeOption, JsonOption, Session, TargetOption, demo_if_alone, open_session
from cli.teach import add_command
from warehouse.settings import Settings

if TYPE_CHECKING:
    from segments.answers import Difference, Overlap, Overview, Why
    from segments.backtest import Filled, Preview
    from segments.lists import Listed

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A segment, without seg_.", show_default=False)]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=400, help="So many days back.")]
BARS = "▁▂▃▄▅▆▇█"


def _settings(session: Session) -> Settings:
    return session.settings if session.home_given else demo_if_alone(session.settings)


def list_command(
    ctx: typer.Context, home: HomeOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """All segments of the last build: size, what changed in a week, and what looks wrong.

    [bold]Example[/bold]

      mailwright --target prod segment list

    [bold]Exit codes[/bold]: 0 shown · 3 nothing built · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.answers import overview

    found = overview(_settings(session))
    session.out.result(found.to_dict(), lambda console: _draw_overview(console, found))


def _draw_overview(console: Console, found: Overview) -> None:
    console.print(
        Text(f"{plural(len(found.segments), 'segment')} of {plural(found.n_profiles, 'profile')} in schema "
             f"{found.schema}, as of {found.as_of:%Y-%m-%d %H:%M} UTC\n")
    )  # fmt: skip
    _table(
        console,
        ("segment", "members", "share", "a week ago", "entered", "left", "notes"),
        [
            (one.name, count(one.n_members), percent(one.share), count(one.n_before), count(one.n_entered),
             count(one.n_left), "; ".join(one.notes))
            for one in found.segments
        ],
    )  # fmt: skip


def show_command(
    ctx: typer.Context,
    name: NameArgument,
    days: DaysOption = 90,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """One segment as its file says now, built or not: size, a sample of people, its last 90 days. Writes nothing.

    [bold]Examples[/bold]

      mailwright segment show big_baskets
      mailwright segment show lapsed --days 30 --json

    [bold]Exit codes[/bold]: 0 shown · 2 no such segment, or its file is wrong · 3 nothing built · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.backtest import preview

    with session.out.step("Segment"):
        found = preview(_settings(session), name, days, every_day=False)
    session.out.result(found.to_dict(), lambda console: _draw_preview(console, found))


def _draw_preview(console: Console, found: Preview) -> None:
    share = percent(found.n_members / found.n_profiles) if found.n_profiles else "–"
    console.print(
        Text(f"{found.name}: {plural(found.n_members, 'member')} ({share} of {count(found.n_profiles)} profiles) "
             f"as of {found.as_of:%Y-%m-%d %H:%M} UTC")
    )  # fmt: skip
    for line in found.report:
        console.print(Text(f"  {line}", style="dim"))
    if found.sample:
        console.print(Text("\nSome of them", style="bold"))
        _table(console, tuple(found.sample[0]), [tuple(row.values()) for row in found.sample])
    if not found.days:
        console.print("\nA plain select, and what names one, has no past; written with segment(…) it would have one.")
        return
    first, last = found.days[0], found.days[-1]
    sizes = [day.n_members for day in found.days]
    step = (last.as_of - first.as_of).days // max(1, len(sizes) - 1) or 1
    each = "" if step == 1 else f", {step} days apart (`segment backtest` has each)"
    console.print(
        Text(f"\nIts last {plural(len(sizes) * step, 'day')}{each}, as far as was known on each", style="bold")
    )
    console.print(Text(f"  {_sparkline(sizes)}"))
    console.print(
        Text(f"  {first.as_of:%Y-%m-%d} {count(first.n_members)} … {last.as_of:%Y-%m-%d} {count(last.n_members)}; "
             f"least {count(min(sizes))}, most {count(max(sizes))}; each time, on average, "
             f"{_mean([day.n_entered for day in found.days[1:]])} enter and "
             f"{_mean([day.n_left for day in found.days[1:]])} leave")
    )  # fmt: skip


def _mean(numbers: Sequence[int]) -> str:
    return f"{sum(numbers) / len(numbers):,.1f}" if numbers else "–"


def _sparkline(numbers: Sequence[int]) -> str:
    most = max(numbers) or 1
    return "".join(BARS[min(len(BARS) - 1, n * len(BARS) // (most + 1))] for n in numbers)


def why_command(
    ctx: typer.Context,
    name: NameArgument,
    person: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A profile id, or an identifier as type:value.", show_default=False)
    ],
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why somebody is, or is not, in a segment: each condition, whether it holds, and the values that decide it.

    [bold]Examples[/bold]

      mailwright --target prod segment why lapsed customer_id:12346
      mailwright segment why vip_engaged 0cc175b9c0f1b6a831c399e269772661 --json

    [bold]Exit codes[/bold]: 0 shown · 2 no such segment, or its file is wrong · 3 nobody known by that · 5 busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.answers import why

    with session.out.step("Reasons"):
        found = why(_settings(session), person, name)
    session.out.result(found.to_dict(), lambda console: _draw_why(console, found))


def _draw_why(console: Console, found: Why) -> None:
    console.print(
        Text(
            f"{found.profile_id} is {'' if found.is_member else 'not '}in {found.segment} "
            f"as of {found.as_of:%Y-%m-%d %H:%M} UTC.\n"
        )
    )
    for reason in found.reasons:
        mark = Text("✓ " if reason.holds else "✗ ", style="green" if reason.holds else "red")
        line = Text("  " * reason.depth) + mark + Text(reason.condition)
        if reason.deciding:
            line += Text(f"   {reason.deciding}", style="dim")
        console.print(line, soft_wrap=True)
    if found.stays:
        console.print(Text("\nRecorded", style="bold"))
        for entered_at, left_at in found.stays:
            until = f"left {left_at:%Y-%m-%d %H:%M}" if left_at else "has been in since"
            console.print(f"  entered {entered_at:%Y-%m-%d %H:%M}, {until}")


def diff_command(
    ctx: typer.Context,
    one: Annotated[str, typer.Argument(metavar="A", help="A segment.", show_default=False)],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who is in one of two segments and not in the other, as of the last build.

    [bold]Example[/bold]

      mailwright segment diff vip_engaged lapsed

    [bold]Exit codes[/bold]: 0 shown · 2 no such segment · 3 nothing built · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.answers import difference

    found = difference(_settings(session), one, other)
    session.out.result(found.to_dict(), lambda console: _draw_difference(console, found))


def _draw_difference(console: Console, found: Difference) -> None:
    _table(
        console,
        ("", "members", "some of them"),
        [
            (f"only {found.one}", count(found.n_one_only), ", ".join(found.sample_one_only)),
            ("both", count(found.n_both), ""),
            (f"only {found.other}", count(found.n_other_only), ", ".join(found.sample_other_only)),
        ],
    )


def overlap_command(
    ctx: typer.Context, home: HomeOption = None, target: TargetOption = None, as_json: JsonOption = False
) -> None:
    """How much segments overlap: of the members of each (row), the share that is in each other (column).

    [bold]Example[/bold]

      mailwright segment overlap --json

    [bold]Exit codes[/bold]: 0 shown · 3 nothing built · 5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.answers import overlap

    found = overlap(_settings(session))
    session.out.result(found.to_dict(), lambda console: _draw_overlap(console, found))


def _draw_overlap(console: Console, found: Overlap) -> None:
    numbers = {name: str(position) for position, name in enumerate(found.names, 1)}
    rows = []
    for name in found.names:
        own = found.common[name]
        shares = [f"{100 * own.get(other, 0) / own[name]:.0f}" if own.get(other) else "·" for other in found.names]
        rows.append((f"{numbers[name]} {name}", count(own[name]), *shares))
    _table(console, ("segment", "members", *numbers.values()), rows)
    console.print(Text("\nPercent of the row's members who are in the column's segment too.", style="dim"))


def backtest_command(
    ctx: typer.Context,
    name: NameArgument,
    days: DaysOption = 90,
    write: Annotated[bool, typer.Option("--write", help="Fill them into the segment's history.")] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whom a segment would have held on each of the last days; with --write, into its history before it goes live.

    What builds recorded is never rewritten: a segment that the history has already is refused.

    [bold]Examples[/bold]

      mailwright segment backtest big_baskets
      mailwright --target prod segment backtest big_baskets --write

    [bold]Exit codes[/bold]: 0 done · 2 no such segment, or its file is wrong · 3 nothing built · 4 it is live already ·
    5 warehouse busy
    """
    session = open_session(ctx, home, target, as_json)
    settings = _settings(session)
    if write:
        from segments.backtest import fill_history

        with session.out.step("Backtest"):
            filled = fill_history(settings, name, days)
        session.out.result(filled.to_dict(), lambda console: _draw_filled(console, filled))
        return
    from segments.backtest import preview

    with session.out.step("Backtest"):
        found = preview(settings, name, days)
    session.out.result(found.to_dict(), lambda console: _draw_days(console, found))


def _draw_filled(console: Console, filled: Filled) -> None:
    console.print(
        f"The history of {filled.name} begins {filled.since:%Y-%m-%d %H:%M} UTC: {plural(filled.n_stays, 'stay')}, "
        f"{count(filled.n_open)} of them not ended. The next build goes on from there."
    )


def _draw_days(console: Console, found: Preview) -> None:
    if not found.days:
        console.print("A plain select, and what names one, has no past; written with segment(…) it would have one.")
        return
    _table(
        console,
        ("day", "members", "entered", "left", ""),
        [
            (f"{day.as_of:%Y-%m-%d %H:%M}", count(day.n_members), count(day.n_entered), count(day.n_left),
             "█" * round(30 * day.n_members / (max(one.n_members for one in found.days) or 1)))
            for day in found.days
        ],
    )  # fmt: skip


def new_command(
    ctx: typer.Context,
    name: NameArgument,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a segment to start from: a SQL file and its description.

    [bold]Example[/bold]

      mailwright segment new big_baskets

    [bold]Exit codes[/bold]: 0 written · 2 not a name · 4 there is one already
    """
    session = open_session(ctx, home, target, as_json)
    from segments.files import new_segment

    files = new_segment(session.settings, name)
    session.out.result(
        {"files": files},
        lambda console: console.print(
            Text("\n".join(f"Written: {file}" for file in files) + f"\nEdit it, then: mailwright segment show {name}"),
            soft_wrap=True,
        ),
    )


def import_command(
    ctx: typer.Context,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="One column with a header.", show_default=False)],
    add: Annotated[bool, typer.Option("--add", help="Add to the list instead of replacing it.")] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the people of a CSV file the members of a static segment, from the next build on.

    Its one column has a header that says what it holds: profile_id, or a type of identifier (email, user_id, …). Who is
    not known yet gets in when she is. A new name gets its segment file.

    [bold]Example[/bold]

      mailwright --target prod segment import fair_2026 visitors.csv

    [bold]Exit codes[/bold]: 0 recorded · 2 not such a file or name · 3 nobody in it · 4 not a list · 5 busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.lists import import_list

    listed = import_list(_settings(session), name, file, add=add)
    session.out.result(listed.to_dict(), lambda console: _draw_listed(console, listed))


def freeze_command(
    ctx: typer.Context,
    source: NameArgument,
    name: Annotated[str, typer.Argument(metavar="LIST", help="The static segment.", show_default=False)],
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the present members of a segment those of a static one, from the next build on.

    [bold]Example[/bold]

      mailwright --target prod segment freeze vip_engaged vip_november

    [bold]Exit codes[/bold]: 0 recorded · 2 no such segment · 3 nothing built, or empty · 4 not a list · 5 busy
    """
    session = open_session(ctx, home, target, as_json)
    from segments.lists import freeze

    listed = freeze(_settings(session), source, name)
    session.out.result(listed.to_dict(), lambda console: _draw_listed(console, listed))


def _draw_listed(console: Console, listed: Listed) -> None:
    console.print(
        Text(f"{listed.name}: {plural(listed.n_on_list, 'person', 'people')} on the list from {listed.origin}: "
             f"{count(listed.n_added)} added, {count(listed.n_removed)} removed. The next build applies it.")
    )  # fmt: skip
    if listed.n_unknown:
        console.print(f"{plural(listed.n_unknown, 'identifier is', 'identifiers are')} of nobody known yet.")
    if listed.n_wrong:
        console.print(Text(f"{plural(listed.n_wrong, 'line')} left out:", style="yellow"))
        for line in listed.wrong:
            console.print(Text(f"  {line}"))


NUMBERS = {"members", "share", "a week ago", "entered", "left", "orders_lifetime", "revenue_lifetime"}


def _table(console: Console, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, justify="right" if name in NUMBERS or name.isdigit() else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("–" if cell is None else str(cell)) for cell in row))
    console.print(table)


def register(app: typer.Typer) -> None:
    family = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Segments: sizes, one and its last days, why somebody is in it, differences, overlaps, a new one.",
    )
    add_command(family, "list", list_command)
    add_command(family, "show", show_command)
    add_command(family, "why", why_command)
    add_command(family, "diff", diff_command)
    add_command(family, "overlap", overlap_command)
    add_command(family, "backtest", backtest_command)
    add_command(family, "new", new_command)
    add_command(family, "import", import_command)
    add_command(family, "freeze", freeze_command)
    app.add_typer(family, name="segment")

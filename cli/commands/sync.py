"""`mailwright plan` and `mailwright sync`: the difference to the ESP, shown and sent; and what was turned away."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from cli.commands.sync_new import new_command
from cli.output import count
from cli.plan_view import render, render_sample, save_picture
from cli.redact import redact
from cli.session import HomeOption, JsonOption, TargetOption, open_session
from cli.teach import add_command
from reverse_etl.errors import RejectedClass
from warehouse.errors import RefusedError, RetriableError

SyncArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SYNC]", help="Name of a declared sync; may be left out where there is one alone."),
]
PastOption = Annotated[str | None, typer.Option("--as-of", hidden=True)]
"""Not offered, but understood: whoever tries it is told why not."""
AllowSchemaOption = Annotated[
    str | None,
    typer.Option("--allow-schema", metavar="SCHEMA", help="Sync from this schema although it is not production."),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="GUARD", help="Apply although this guard says no; may be given again."),
]
ClassOption = Annotated[
    list[RejectedClass] | None,
    typer.Option("--class", help="Only what was rejected for this kind of reason; may be given again."),
]
PersonOption = Annotated[
    list[str] | None,
    typer.Option(
        "--person", metavar="EMAIL", help="Only this person: an address, or its hash as shown; may be given again."
    ),
]


def plan_command(
    ctx: typer.Context,
    sync: SyncArgument = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save it, for `mailwright sync --plan FILE`.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=0, max=1000, help="Show N people with values before and after.")
    ] = 0,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="FILE.svg", help="Draw what is shown, for somebody who is not at this terminal."
        ),
    ] = None,
    as_of: PastOption = None,
    allow_schema: AllowSchemaOption = None,
    override: OverrideOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a sync would do: created, updated, entering, leaving, blocked and why. Writes nothing to the ESP.

    Reads the ESP (its members and our segments there) and compares with what is confirmed in the ledger.

    [bold]Examples[/bold]

      mailwright --target prod plan
      mailwright --target prod plan mailchimp --sample 20
      mailwright --target prod plan mailchimp --out plan.json
      mailwright --target prod plan mailchimp --sample 5 --picture plan.svg   for whoever approves it

    [bold]Exit codes[/bold]: 0 shown · 2 unknown sync, wrong key · 4 a check failed, or a guard · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    from cli import pipeline

    _refuse_the_past(session.settings.schema, allow_schema)
    sync = pipeline.sync_named(session.settings, sync)
    with session.out.step("Plan") as step:
        plan = pipeline.plan_sync(session.settings, sync, **_options(allow_schema, override), on_line=step.detail)
    if out is not None:
        plan.save(out)
        session.out.say(f"Saved; to apply just this: mailwright sync {sync} --plan {out}")
    people = pipeline.sample_plan(session.settings, plan, sample) if sample else []
    data = plan.to_dict()

    def show(console: Console) -> None:
        render(console, data)
        if sample:
            render_sample(console, people)

    if picture is not None:
        when = f" with the data as of {plan.as_of:%Y-%m-%d %H:%M} (UTC)" if plan.as_of else ""
        save_picture(picture, f"What the sync {sync} would do{when}", data, people)
    session.out.result(data | ({"sample": people} if sample else {}), show)


def sync_command(
    ctx: typer.Context,
    sync: SyncArgument = None,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Apply this plan, as `plan --out` saved it; refused if the data moved."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Everything but the writing: the same as `plan`.")] = False,
    as_of: PastOption = None,
    allow_schema: AllowSchemaOption = None,
    override: OverrideOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the difference to the ESP and confirm it.

    Refuses unless every check of what it reads has passed, and unless the schema is production. A sync that was killed
    is simply run again: nothing that was confirmed is sent twice. Credentials come from the environment:
    `mailwright doctor` names the variables.

    A new sync: `mailwright sync new`. What was turned away: `rejected`, `retry`, `skip`; what changed there since:
    `audit`; a lost ledger: `rebaseline`. Each has a --help.

    [bold]Examples[/bold]

      mailwright --target prod sync --dry-run
      mailwright --target prod sync mailchimp --plan plan.json

    [bold]Exit codes[/bold]: 0 confirmed, or nothing to do · 2 unknown sync, wrong key · 4 refused · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json, as_of=as_of)
    _refuse_the_past(session.settings.schema, allow_schema)
    from cli import pipeline
    from reverse_etl.plan import Plan

    plan = None if plan_file is None else Plan.load(plan_file)
    sync = pipeline.sync_named(session.settings, sync or (plan.sync_name if plan else None))
    with session.out.step("Plan" if dry_run else "Sync") as step:
        report = pipeline.apply_sync(
            session.settings, sync, plan=plan, dry_run=dry_run, **_options(allow_schema, override), on_line=step.detail
        )
    data = report.to_dict()
    session.out.result(data, lambda console: render(console, data))
    if not report.is_complete:
        session.out.say(
            "Incomplete: some records are in doubt or were turned away for now. Run the same command again."
        )
        raise typer.Exit(RetriableError.exit_code)


def _refuse_the_past(*schemas: str | None) -> None:
    for schema in schemas:
        if schema is not None and schema.startswith("asof_"):
            raise RefusedError(
                f"Schema '{schema}' is a look at the past: it is never synced.",
                todo="look at its tables, such as sync_esp__members; what is synced is built without --as-of",
            )


def _options(allow_schema: str | None, override: list[str] | None) -> dict[str, Any]:
    return {"allow_schema": allow_schema, "overrides": tuple(override or ())}


def _people(named: list[str] | None) -> list[str]:
    """Subscriber hashes of addresses; hashes as they are."""
    return [
        text if re.fullmatch(r"[0-9a-f]{32}", text) else hashlib.md5(text.strip().lower().encode()).hexdigest()  # noqa: S324
        for text in named or []
    ]


def rejected_command(
    ctx: typer.Context,
    sync: Annotated[str | None, typer.Argument(metavar="[SYNC]", help="Name of a declared sync (all of them).")] = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show records that did not go through: rejected, skipped or in doubt, with the ESP's words.

    People are shown by the hash of their address; `retry` and `skip` take it.

    [bold]Examples[/bold]

      mailwright sync rejected
      mailwright sync rejected mailchimp --json

    [bold]Exit codes[/bold]: 0 shown · 2 unknown sync · 3 no warehouse yet
    """
    session = open_session(ctx, home, target, as_json)
    from reverse_etl.declaration import read_sync
    from reverse_etl.repair import rejected
    from warehouse.connection import connect

    if sync is not None:
        read_sync(session.settings, sync)
    with connect(session.settings, read_only=True) as con:
        rows = rejected(con, sync)
    session.out.result({"records": rows}, lambda console: _render_rejected(console, rows))


def _render_rejected(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.print("Nothing: every record that was sent is confirmed.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("Sync", "Person", "What", "State", "The ESP says"):
        table.add_column(name, overflow="fold")
    for row in rows:
        state = row["state"] if row["rejected_class"] is None else f"{row['state']} ({row['rejected_class']})"
        table.add_row(
            row["sync_name"],
            row["subscriber_hash"],
            row["segment_name"] or row["event_name"] or "",
            state,
            redact(row["message"] or ""),
        )
    console.print(table)


def retry_command(
    ctx: typer.Context,
    sync: SyncArgument = None,
    classes: ClassOption = None,
    people: PersonOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let records that were rejected for good, or skipped, be sent by the next sync.

    Events in doubt are sent again for people who are named, and for nobody else: they may have arrived.

    [bold]Examples[/bold]

      mailwright sync retry mailchimp --class data
      mailwright sync retry mailchimp --person ann@example.org

    [bold]Exit codes[/bold]: 0 recorded (or nothing to do) · 2 unknown sync · 4 a run of this sync is under way
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline
    from reverse_etl.repair import retry

    n = retry(
        session.settings, pipeline.sync_named(session.settings, sync), classes=classes or (), people=_people(people)
    )
    session.out.result(
        {"records": n}, lambda console: console.print(f"{count(n)} records are sent again by the next sync.")
    )


def skip_command(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who come later.", show_default=False)],
    sync: SyncArgument = None,
    classes: ClassOption = None,
    people: PersonOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave records that were rejected, or are in doubt, as they are until their content changes.

    The end of a subscription is never skipped: every sync tries it.

    [bold]Examples[/bold]

      mailwright sync skip mailchimp --class data --reason "addresses of a test import"
      mailwright sync skip mailchimp --person ann@example.org --reason "asked us by telephone"

    [bold]Exit codes[/bold]: 0 recorded (or nothing to do) · 2 unknown sync, no reason · 4 a run is under way
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline
    from reverse_etl.repair import skip

    sync = pipeline.sync_named(session.settings, sync)
    n = skip(session.settings, sync, reason, classes=classes or (), people=_people(people))
    session.out.result({"records": n}, lambda console: console.print(f"{count(n)} records are left as they are."))


def rebaseline_command(
    ctx: typer.Context,
    sync: SyncArgument = None,
    only: Annotated[
        Literal["member", "membership"] | None, typer.Option("--only", help="Fields alone, or segments alone.")
    ] = None,
    allow_schema: AllowSchemaOption = None,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what the models say as what the ESP has, without sending it: for a ledger that was lost.

    Only updates of fields and entries into segments are taken as given. Who is not there, and whose subscription has to
    end, stays a difference that the next sync sends.

    [bold]Examples[/bold]

      mailwright --target prod sync rebaseline mailchimp
      mailwright --target prod sync rebaseline mailchimp --only member

    [bold]Exit codes[/bold]: 0 recorded · 2 unknown sync, wrong key · 4 refused · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json)
    _refuse_the_past(session.settings.schema, allow_schema)
    from cli import pipeline

    with session.out.step("Rebaseline") as step:
        n = pipeline.rebaseline_sync(
            session.settings,
            pipeline.sync_named(session.settings, sync),
            objects=("member", "membership") if only is None else (only,),
            allow_schema=allow_schema,
            on_line=step.detail,
        )
    session.out.result(
        {"records": n}, lambda console: console.print(f"{count(n)} records are taken as given; nothing was sent.")
    )


def audit_command(
    ctx: typer.Context,
    sync: SyncArgument = None,
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=1, help="People to read back.")] = 500,
    everybody: Annotated[bool, typer.Option("--all", help="Read back everybody, however long it takes.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Have the next sync send what is not there any more.")
    ] = False,
    home: HomeOption = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read back from the ESP what it confirmed, and report what is not there any more.

    A field typed over, a person taken out of a segment, a person deleted. With --repair the next sync sends those
    records again, under the same consent and guards as ever. Writes nothing to the ESP itself.

    [bold]Examples[/bold]

      mailwright --target prod sync audit mailchimp
      mailwright --target prod sync audit mailchimp --all --repair

    [bold]Exit codes[/bold]: 0 looked at · 2 unknown sync, wrong key · 4 a run is under way · 5 ESP unreachable
    """
    session = open_session(ctx, home, target, as_json)
    from cli import pipeline

    sync = pipeline.sync_named(session.settings, sync)
    with session.out.step("Audit") as step:
        report = pipeline.audit_sync(
            session.settings, sync, sample=None if everybody else sample, repair=repair, on_line=step.detail
        )

    def show(console: Console) -> None:
        console.print(
            f"{count(report['n_checked'])} of {count(report['n_confirmed'])} people read back, "
            f"{count(report['n_drifted'])} not as confirmed."
        )
        if not report["has_segments"]:
            console.print(Text("This ESP does not show the segments of a person: they were not compared.", style="dim"))
        for what, n in report["drifts"].items():
            console.print(Text(f"  {count(n)}: {what}"))
        if report["n_repaired"]:
            console.print(f"{count(report['n_repaired'])} records are sent again by the next sync.")

    session.out.result(report, show)


class _SyncGroup(TyperGroup):
    """`mailwright sync mailchimp` runs a sync, and `mailwright sync --help` tells of that; a command's name is it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args and args[0] in self.commands else ["run", *args])


def register(app: typer.Typer) -> None:
    add_command(app, "plan", plan_command)
    family = typer.Typer(
        cls=_SyncGroup,
        rich_markup_mode="rich",
        help="Send the difference to the ESP, and deal with what it turned away.",
    )
    add_command(family, "run", sync_command)
    add_command(family, "new", new_command)
    add_command(family, "rejected", rejected_command)
    add_command(family, "retry", retry_command)
    add_command(family, "skip", skip_command)
    add_command(family, "audit", audit_command)
    add_command(family, "rebaseline", rebaseline_command)
    app.add_typer(family, name="sync")

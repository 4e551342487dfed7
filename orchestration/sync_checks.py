"""Checks of each sync: is all confirmed, what was turned away, do withdrawals wait, is it still there.

They never stop anything: what a sync sends is guarded before it is sent. What they find is told to people.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from orchestration.alerts import Alert, masked, send_alert
from orchestration.failures import translated_errors
from orchestration.names import (
    AUDIT_CHECK,
    CONFIRMED_CHECK,
    REJECTED_CHECK,
    SUPPRESSION_CHECK,
    WRITER_POOL,
    api_pool,
    sync_key,
)
from reverse_etl.audit import AuditReport, audit
from reverse_etl.connect import open_destination
from reverse_etl.declaration import SyncDeclaration, list_syncs, read_sync
from reverse_etl.health import SyncHealth, sync_health
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import MailwrightError
from warehouse.settings import Settings

DESCRIPTIONS = {
    CONFIRMED_CHECK: "The newest run came to its end, and of every record that was sent it is known how it ended.",
    REJECTED_CHECK: "Few records were turned away, and no end of a subscription among them.",
    SUPPRESSION_CHECK: "What the ESP says of ended subscriptions was weighed by a build soon after.",
    AUDIT_CHECK: "A sample of what is confirmed is read back, and is there still.",
}


def _result(name: str, check: str, trouble: Sequence[str], metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(sync_key(name)),
        check_name=check,
        passed=not trouble,
        description="; ".join(trouble) or None,
        metadata=metadata,
    )


def health_results(declaration: SyncDeclaration, health: SyncHealth) -> list[dg.AssetCheckResult]:
    """The three checks that the ledger alone answers."""
    name, limits = declaration.name, declaration.checks
    open_trouble = []
    if health.last_status != "succeeded":
        open_trouble.append(f"the newest run {'was none' if health.last_status is None else health.last_status}")
    if health.n_open:
        open_trouble.append(f"of {health.n_open} records it is not known how they ended: the next run settles them")
    turned_away = []
    if health.share_rejected > limits.max_share_rejected:
        turned_away.append(f"{health.share_rejected:.1%} rejected, {limits.max_share_rejected:.1%} are allowed")
    if health.open_withdrawals:
        turned_away.append(f"{health.open_withdrawals} ends of subscriptions are not confirmed")
    lag = health.suppression_lag_hours(utcnow())
    late = []
    if lag > limits.max_suppression_lag_hours:
        late.append(f"{health.unweighed} ended subscriptions wait for a build, the first for {lag:.0f} hours")
    rows = [
        f"| {one.records} | {one.object} | {one.rejected_class} | {masked(one.message).replace('|', '/')} |"
        for one in health.rejections
    ]
    table = "\n".join(["| records | what | class | the ESP says |", "|---|---|---|---|", *rows])
    return [
        _result(name, CONFIRMED_CHECK, open_trouble, {"open": health.n_open, **health.records}),
        _result(
            name,
            REJECTED_CHECK,
            turned_away,
            {
                "rejected": health.n_rejected,
                "share": health.share_rejected,
                **({"why": dg.MetadataValue.md(table)} if rows else {}),
            },
        ),
        _result(name, SUPPRESSION_CHECK, late, {"waiting": health.unweighed, "hours": round(lag, 1)}),
    ]


def audit_result(declaration: SyncDeclaration, report: AuditReport) -> dg.AssetCheckResult:
    """What was read back."""
    most = declaration.checks.max_share_drifted
    trouble = []
    if report.share > most:
        worst = ", ".join(f"{what} ({n})" for what, n in sorted(report.drifts.items(), key=lambda item: -item[1])[:3])
        trouble.append(f"{report.n_drifted} of {report.n_checked} people are not as confirmed: {worst}")
    metadata = {
        "checked": report.n_checked,
        "drifted": report.n_drifted,
        "share": report.share,
        **{f"drift.{what}": n for what, n in report.drifts.items()},
    }
    return _result(declaration.name, AUDIT_CHECK, trouble, metadata)


def _tell(context: dg.AssetCheckExecutionContext, name: str, results: Sequence[dg.AssetCheckResult]) -> None:
    """Whoever answers for the sync hears of it; a webhook that does not answer fails no check."""
    failed = tuple((f"sync {name}, {r.check_name}", r.description or "failed") for r in results if not r.passed)
    if not failed:
        return
    log = context.log.warning
    try:
        send_alert(Alert(f"sync_{name}", context.op_execution_context.run_id, failed, "needs a look"), log=log)
    except MailwrightError as error:
        log(error.what)


def _nothing_was_sent(name: str, checks: Sequence[str]) -> Iterator[dg.AssetCheckResult]:
    for check in checks:
        yield _result(name, check, (), {"note": "not production: nothing was sent"})


def _health_check(settings: Settings, declaration: SyncDeclaration) -> dg.AssetChecksDefinition:
    name, checks = declaration.name, (CONFIRMED_CHECK, REJECTED_CHECK, SUPPRESSION_CHECK)
    asset = dg.AssetKey(sync_key(name))

    @dg.multi_asset_check(
        name=f"confirm_{name}",
        specs=[dg.AssetCheckSpec(check, asset=asset, description=DESCRIPTIONS[check]) for check in checks],
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
    )
    def confirm(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        if not settings.is_production:
            yield from _nothing_was_sent(name, checks)
            return
        with translated_errors(context.op_execution_context.retry_number):
            target = open_destination(declaration)
            destination = target.key
            target.close()
            with connect(settings, read_only=True, purpose=f"check sync {name}") as con:
                results = health_results(declaration, sync_health(con, settings.schema, name, destination))
        _tell(context, name, results)
        yield from results

    return confirm


def _audit_check(settings: Settings, declaration: SyncDeclaration) -> dg.AssetChecksDefinition:
    name = declaration.name

    @dg.asset_check(
        name=AUDIT_CHECK,
        asset=dg.AssetKey(sync_key(name)),
        description=DESCRIPTIONS[AUDIT_CHECK],
        pool=api_pool(declaration.destination, declaration.account),
        required_resource_keys={"lease"},
    )
    def audit_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        if not settings.is_production:
            return next(_nothing_was_sent(name, [AUDIT_CHECK]))
        with translated_errors(context.op_execution_context.retry_number):
            result = audit_result(declaration, audit(settings, name, sample=declaration.checks.audit_sample))
        _tell(context, name, [result])
        return result

    return audit_drift


def sync_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Of every sync that this installation runs; an audit only where a sample is asked for."""
    found: list[dg.AssetChecksDefinition] = []
    for name in list_syncs(settings):
        declaration = read_sync(settings, name)
        found.append(_health_check(settings, declaration))
        if declaration.checks.audit_sample:
            found.append(_audit_check(settings, declaration))
    return found

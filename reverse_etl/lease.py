"""The lease of a sync: two runners at once are impossible, and a killed one does not stop the next.

HTTP happens outside the writer's lock, so a lock cannot do it: a row with host, process and heartbeat does, taken
and renewed in short transactions. A holder on this machine is dead when its process is; one elsewhere when its
heartbeat is old.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb

from reverse_etl.errors import LeaseHeld
from warehouse.clock import utcnow

STALE_AFTER = timedelta(minutes=15)
"""Longer than the longest request with all its retries."""


@dataclass(frozen=True)
class Lease:
    """The lease that this process holds."""

    sync_name: str
    destination: str
    sync_run_id: str


def _process_started(process_id: int) -> str:
    """What tells a process from a later one of the same number; '' where the system does not say."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _is_alive(process_id: int, started: str) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _process_started(process_id) == started


def acquire(con: duckdb.DuckDBPyConnection, sync_name: str, destination: str, sync_run_id: str) -> Lease:
    """Take the lease, from a dead holder if need be; the dead one's run is marked abandoned.

    Raises:
        LeaseHeld: its holder is alive.
    """
    rows = con.execute(
        """select sync_run_id, host, process_id, process_started, heartbeat_at from ledger.sync_leases
           where sync_name = ? and destination = ?""",
        [sync_name, destination],
    ).fetchall()
    host = socket.gethostname()
    if rows:
        holder, holder_host, process_id, started, heartbeat_at = rows[0]
        if holder_host == host:
            alive = _is_alive(process_id, started)
        else:
            alive = utcnow() - heartbeat_at < STALE_AFTER
        if alive:
            raise LeaseHeld(
                f"Another run of the sync '{sync_name}' is under way.",
                where=f"process {process_id} on {holder_host}, run {holder}",
                todo="wait until it is done; if that process hangs, end it, and the next run takes over",
            )
        con.execute(
            """update ledger.sync_runs set status = 'abandoned', finished_at = ?,
                   message = 'The process ended without finishing; the next run took over.'
               where sync_name = ? and destination = ? and status = 'running'""",
            [utcnow(), sync_name, destination],
        )
    con.execute(
        """insert into ledger.sync_leases values (?, ?, ?, ?, ?, ?, ?)
           on conflict (sync_name, destination) do update set sync_run_id = excluded.sync_run_id,
               host = excluded.host, process_id = excluded.process_id, process_started = excluded.process_started,
               heartbeat_at = excluded.heartbeat_at""",
        [sync_name, destination, sync_run_id, host, os.getpid(), _process_started(os.getpid()), utcnow()],
    )
    return Lease(sync_name, destination, sync_run_id)


def renew(con: duckdb.DuckDBPyConnection, lease: Lease) -> None:
    """Show that this run is alive; part of every transaction of a run.

    Raises:
        LeaseHeld: another run took over meanwhile; this one must stop.
    """
    rows = con.execute(
        """update ledger.sync_leases set heartbeat_at = ?
           where sync_name = ? and destination = ? and sync_run_id = ? returning sync_run_id""",
        [utcnow(), lease.sync_name, lease.destination, lease.sync_run_id],
    ).fetchall()
    if not rows:
        raise LeaseHeld(
            f"This run of the sync '{lease.sync_name}' was taken for dead and another one took over.",
            todo="nothing: what this run had confirmed is kept, the other run does the rest",
        )


def release(con: duckdb.DuckDBPyConnection, lease: Lease) -> None:
    """Give it back; does nothing if another run has it."""
    con.execute(
        "delete from ledger.sync_leases where sync_name = ? and destination = ? and sync_run_id = ?",
        [lease.sync_name, lease.destination, lease.sync_run_id],
    )

"""The read-only copy that dashboards, notebooks and APIs open, so that they never meet a writer."""

from __future__ import annotations

import os
import shutil

from warehouse.connection import connect
from warehouse.lock import writer_lock
from warehouse.settings import Settings


def publish_snapshot(settings: Settings) -> None:
    """Copy the warehouse beside itself and put it in place by rename: readers see the old one or the new one."""
    with writer_lock(settings, "snapshot"):
        with connect(settings, purpose="snapshot") as con:
            con.execute("checkpoint")
        temporary = settings.snapshot_path.with_suffix(".tmp")
        shutil.copyfile(settings.warehouse_path, temporary)
        temporary.replace(settings.snapshot_path)
        folder = os.open(settings.snapshot_path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

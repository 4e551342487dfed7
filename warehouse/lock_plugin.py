"""dbt-duckdb plugin: dbt's own shell takes the writer's lock too.

Named in `dbt_project/profiles.yml`. dbt keeps the database file open for the whole invocation, so the lock is held
for as long: from the moment that dbt configures its connection to the end of the process.
"""

from __future__ import annotations

import atexit
import contextlib
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from warehouse.lock import writer_lock
from warehouse.settings import load_settings


class Plugin(BasePlugin):
    """Acquires `warehouse.lock.writer_lock` once per process, before the file is opened."""

    _held = contextlib.ExitStack()

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        path = (self.creds.path if self.creds else None) or ":memory:"
        if path == ":memory:":
            return
        settings = load_settings(warehouse=path)
        stack = Plugin._held
        stack.enter_context(writer_lock(settings, "dbt"))
        atexit.register(stack.close)

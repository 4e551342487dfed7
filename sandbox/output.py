"""Writing what was made: Parquet files, and the manifest that the loader reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sandbox.schemas import RAW_SCHEMAS, TRUTH_SCHEMAS

Provenance = Literal["real", "simulated"]
Progress = Callable[[str], None]
MANIFEST = "load.yml"


@dataclass(frozen=True)
class SandboxReport:
    """What was written and where."""

    out_dir: Path
    manifest_path: Path
    as_of: datetime
    """End of the data, naive UTC: the instant to pin `as_of` to."""
    rows: dict[str, int]
    """Rows per table; tables of planted truth as `truth.<name>`."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "out_dir": str(self.out_dir),
            "manifest_path": str(self.manifest_path),
            "as_of": self.as_of.isoformat() + "Z",
            "rows": self.rows,
            "seconds": round(self.seconds, 2),
        }


@dataclass
class Writer:
    """Writes each table as it is ready (so that it can be freed), and the manifest at the end."""

    out_dir: Path
    rows: dict[str, int] = field(default_factory=dict)
    _loads: list[dict[str, str]] = field(default_factory=list)
    _truth: list[dict[str, str]] = field(default_factory=list)

    def table(self, name: str, columns: dict[str, pa.Array], provenance: Provenance = "simulated") -> None:
        """Write `<name>.parquet` in the contract's columns, order and types."""
        file_name = f"{name}.parquet"
        self._write(file_name, columns, RAW_SCHEMAS[name])
        self.rows[name] = len(next(iter(columns.values())))
        self._loads.append({"table": name, "file": file_name, "provenance": provenance})

    def truth(self, name: str, columns: dict[str, pa.Array]) -> None:
        """Write `truth/<name>.parquet`: what was planted, for tests only."""
        file_name = f"truth/{name}.parquet"
        self._write(file_name, columns, TRUTH_SCHEMAS[name])
        self.rows[f"truth.{name}"] = len(next(iter(columns.values())))
        self._truth.append({"table": name, "file": file_name})

    def _write(self, file_name: str, columns: dict[str, pa.Array], schema: pa.Schema) -> None:
        table = pa.table([columns[name] for name in schema.names], schema=schema)
        path = self.out_dir / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", compression_level=1)

    def manifest(self, as_of: datetime) -> Path:
        """Write the manifest, last: a folder with one is complete."""
        path = self.out_dir / MANIFEST
        content = {
            "version": 1,
            "as_of": as_of.isoformat() + "Z",
            "loads": self._loads,
            "truth": self._truth,
        }
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

"""What a load reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class LoadedFile:
    """A file that was brought in."""

    load_id: str
    table: str
    file_name: str
    provenance: str
    rows_loaded: int
    rows_quarantined: int
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkippedFile:
    """A file whose content is in the table already."""

    table: str
    file_name: str
    load_id: str
    """The load that brought it."""
    reason: str


@dataclass(frozen=True)
class LoadReport:
    """All files of one call; a file that fails raises instead, and those before it stay loaded."""

    loads: tuple[LoadedFile, ...]
    skipped: tuple[SkippedFile, ...]
    as_of: datetime | None = None
    """The manifest's instant at which the data ends, naive UTC."""

    @property
    def rows_loaded(self) -> int:
        return sum(load.rows_loaded for load in self.loads)

    @property
    def rows_quarantined(self) -> int:
        return sum(load.rows_quarantined for load in self.loads)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "loads": [asdict(load) for load in self.loads],
            "skipped": [asdict(skip) for skip in self.skipped],
            "rows_loaded": self.rows_loaded,
            "rows_quarantined": self.rows_quarantined,
            "as_of": self.as_of.isoformat() + "Z" if self.as_of else None,
        }

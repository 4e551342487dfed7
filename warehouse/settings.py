"""Where an installation keeps its things, and which schema a run builds into."""

from __future__ import annotations

import getpass
import re
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from warehouse.errors import ConfigError

PROJECT_DIR = Path(__file__).resolve().parents[1]
PRODUCTION_SCHEMA = "analytics"
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,50}")


def _user_schema() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a passwd entry
        user = "local"
    return "dev_" + re.sub(r"[^a-z0-9]", "_", user.lower())[:40]


class Settings(BaseSettings):
    """Settings of one installation; each can be set as an environment variable MAILWRIGHT_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="MAILWRIGHT_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = PROJECT_DIR / ".mailwright"
    """Folder of all local state: the warehouse file, its lock and snapshot, artefacts, Data Docs, Dagster's storage."""
    warehouse: Path | None = None
    """The DuckDB file; default `home/warehouse.duckdb`."""
    landing: Path | None = None
    """Folder that new raw files arrive in, watched by the sensor; default `home/landing`."""
    dbt_project: Path | None = None
    """Folder of the dbt project; default the one of this repository."""
    target: Literal["dev", "prod"] = "dev"
    """dbt target: `dev` builds into a schema of one's own, `prod` into `analytics`. Only `prod` may be synced."""
    schema_override: str | None = None
    """Schema of a build that is neither (a past `as_of`): never production."""
    threads: int = 2
    """Threads of DuckDB and dbt."""
    memory_limit: str = "4GB"
    """DuckDB's memory limit; beyond it, it spills to disk beside the warehouse file."""
    lock_timeout_seconds: float = 900.0
    """How long a writer waits for another one before it gives up with a message."""
    syncs: str = "mailchimp"
    """Built-in syncs that this installation runs, with commas between; those of `home/syncs` run anyway."""

    @field_validator("home", "warehouse", "landing", "dbt_project")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            str(value).encode()
        except UnicodeEncodeError:  # bytes that are no text: DuckDB and dbt take paths in UTF-8 alone
            raise ValueError("is no UTF-8; choose another folder, or set LANG=C.UTF-8") from None
        return value.expanduser().absolute()

    @field_validator("schema_override")
    @classmethod
    def _plain_identifier(cls, value: str | None) -> str | None:
        if value is not None and not _IDENTIFIER.fullmatch(value):
            raise ValueError("must be a plain lower-case identifier")
        if value in {PRODUCTION_SCHEMA, "raw", "ops", "ledger", "identity", "ml", "truth", "main"}:
            raise ValueError(f"'{value}' is reserved")
        return value

    @property
    def schema(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]  # pydantic's own `schema` is deprecated
        """Schema that dbt builds into, and that everything downstream reads."""
        if self.schema_override:
            return self.schema_override
        return PRODUCTION_SCHEMA if self.target == "prod" else _user_schema()

    @property
    def sync_names(self) -> tuple[str, ...]:
        """`syncs` as names; `none` for none."""
        names = [name for part in self.syncs.split(",") if (name := part.strip())]
        return () if names == ["none"] else tuple(names)

    @property
    def ml_schema(self) -> str:
        """Schema of model runs and predictions: apart for every schema, so that no experiment reaches production."""
        return "ml" if self.is_production else f"{self.schema}_ml"

    @property
    def is_production(self) -> bool:
        return self.schema == PRODUCTION_SCHEMA

    @property
    def project_dir(self) -> Path:
        return PROJECT_DIR

    @property
    def dbt_project_dir(self) -> Path:
        return self.dbt_project or PROJECT_DIR / "dbt_project"

    @property
    def warehouse_path(self) -> Path:
        return self.warehouse or self.home / "warehouse.duckdb"

    @property
    def landing_dir(self) -> Path:
        return self.landing or self.home / "landing"

    @property
    def lock_path(self) -> Path:
        return self.warehouse_path.with_name(self.warehouse_path.name + ".lock")

    @property
    def snapshot_path(self) -> Path:
        """Read-only copy for readers, replaced by rename after each run."""
        return self.warehouse_path.with_name(self.warehouse_path.stem + ".snapshot.duckdb")

    @property
    def artefacts_dir(self) -> Path:
        """Those of another schema lie in a folder of its own, which goes when it goes."""
        return self.home / "artefacts" / (self.schema_override or "")

    @property
    def data_docs_dir(self) -> Path:
        return self.home / "data_docs"

    @property
    def report_path(self) -> Path:
        return self.home / "report.html"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def dbt_target_dir(self) -> Path:
        """dbt's artefacts of this installation and schema (manifest, run results, logs)."""
        return self.home / "dbt" / self.schema


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `overrides`; a wrong value is one clear ConfigError."""
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The setting '{name}' is wrong: {first['msg']}.",
            where=f"MAILWRIGHT_{name.upper()} or the option of that name",
            todo="correct it, or unset it to get the default",
        ) from None

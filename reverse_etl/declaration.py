"""A sync is one YAML file: which model goes where, how its columns become fields, and what must never happen.

Built-in syncs lie in `reverse_etl/syncs`; a company's own ones in `<home>/syncs`, where a file of the same name
takes the place of a built-in one.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reverse_etl.destination import FieldSpec
from reverse_etl.limits import adjustable, kinds
from warehouse.errors import ConfigError
from warehouse.settings import Settings
from warehouse.strict_yaml import StrictLoader

BUILT_IN = Path(__file__).with_name("syncs")
EMPTYING = ("overwrite", "clear")
"""Policies under which a field is emptied: without a value (and a fallback), or when its person's row is gone."""
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*[A-Z0-9]")
_AGE = r"^[1-9]\d{0,4} (minute|hour|day)s?$"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Compared(NamedTuple):
    """A column in the hash of a row."""

    column: str
    significance: Decimal | None
    is_date: bool


class FieldMapping(_Strict):
    """One column of the model becomes one field of the destination."""

    column: str
    """Column of the activation model."""
    field: str
    """The destination's key of the field; Mailchimp: the merge tag, at most 10 characters; SendGrid: its name."""
    name: str
    """What marketers read; used when the field has to be created."""
    type: Literal["text", "number", "date", "url", "imageurl", "phone", "zip"] = "text"
    """The destination's type of the field."""
    max_length: int | None = Field(default=None, ge=1)
    """Longer text is cut here, never inside a character; links that are longer are left out instead."""
    length_unit: Literal["characters", "bytes"] = "bytes"
    """What `max_length` counts; bytes of UTF-8 by default, the stricter reading."""
    on_null: Literal["overwrite", "keep", "clear", "fill_if_empty"] = "overwrite"
    """overwrite (the default): the value, else the fallback, else the field is emptied. keep: without a value the
    field is left as it is. clear: without a value it is emptied, whatever the fallback. fill_if_empty: written only
    where the destination has nothing yet, so that what people typed there stays."""
    significance: Decimal | None = Field(default=None, gt=0)
    """For numbers, and for dates (days): what is worth a request. A value that stays within the same multiple of it is
    not sent again by itself (with 0.5, 123.41 and 123.44 are the same); what is sent is the exact value."""
    fallback: str | None = None
    """Stands in where there is no value (new people get it under every policy but `clear`)."""

    @field_validator("column")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError("must be a column name: lower-case letters, digits, _")
        return value

    @model_validator(mode="after")
    def _fits_its_type(self) -> FieldMapping:
        if self.significance is not None and self.type not in {"number", "date"}:
            raise ValueError(f"significance is for fields of type number or date; {self.field} is {self.type}")
        if self.fallback and self.type == "number" and not _NUMBER.fullmatch(self.fallback):
            raise ValueError(f"the fallback of a number has to be one; {self.field} has '{self.fallback}'")
        if self.significance is not None and self.type == "date" and self.significance % 1:
            raise ValueError(f"significance of a date is in whole days; {self.field} has {self.significance}")
        return self

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(self.field, self.name, self.type, is_emptied=self.on_null in EMPTYING)

    @property
    def is_emptied_by_null(self) -> bool:
        """Whether an update empties it where the column has no value."""
        return self.on_null == "clear" or (self.on_null == "overwrite" and not self.fallback)


class SegmentMirror(_Strict):
    """Which segments are mirrored, and under which names."""

    model: str
    """Activation model with one row per person and segment."""
    prefix: str = "mw:"
    """What is ours at the destination starts with this; nothing else is touched."""
    include: Literal["all"] | tuple[str, ...] = "all"
    """Names of segments, or all."""

    @field_validator("prefix")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty: without a prefix, ours and theirs cannot be told apart")
        return value


class EventName(_Strict):
    """One kind of event that is sent."""

    event: str = Field(min_length=1)
    """What the model calls it (`event_name`)."""
    name: str | None = Field(default=None, min_length=1)
    """What the destination calls it; by default the same. HubSpot: the event's full name, pe123456_entered_segment."""


class EventProperty(_Strict):
    """One column of the model of events becomes one property of an event."""

    column: str
    name: str | None = Field(default=None, min_length=1)
    """What the destination calls it; by default the column's name."""

    @field_validator("column")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError("must be a column name: lower-case letters, digits, _")
        return value


class Events(_Strict):
    """Which events are sent: what starts flows and automations. What happened before the first run that has them is
    not sent."""

    model: str
    """Activation model with one row per event."""
    include: tuple[EventName, ...] = Field(min_length=1)
    """The kinds of events, one by one: a kind begins with the first run that has it."""
    properties: tuple[EventProperty, ...] = ()
    """What is told with an event; a property without a value is left out."""
    max_age: str = Field(default="1 day", pattern=_AGE)
    """Older events are not sent any more: '90 minutes', '12 hours', '2 days'."""

    @field_validator("model")
    @classmethod
    def _a_model(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError("must be the name of a model")
        return value

    @model_validator(mode="after")
    def _once_each(self) -> Events:
        for what, names in (
            ("event", [one.event for one in self.include]),
            ("event", list(self.names.values())),
            ("property", [name for _, name in self.named_columns]),
        ):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]} is named twice")
        return self

    @property
    def names(self) -> dict[str, str]:
        """The model's name of an event → the destination's."""
        return {one.event: one.name or one.event for one in self.include}

    @property
    def named_columns(self) -> tuple[tuple[str, str], ...]:
        """(column, property)."""
        return tuple((one.column, one.name or one.column) for one in self.properties)

    @property
    def oldest(self) -> timedelta:
        """`max_age`."""
        number, unit = self.max_age.split()
        return timedelta(**{unit.removesuffix("s") + "s": int(number)})


class Guards(_Strict):
    """When a plan is not applied unless the guard is overridden by name."""

    max_share_leaving: float = Field(default=0.3, ge=0, le=1)
    """Of the confirmed memberships of any one segment, the share that may leave at once."""
    max_share_removed: float = Field(default=0.2, ge=0, le=1)
    """Of the confirmed people, the share whose row may vanish from the model at once."""
    max_share_changed: float = Field(default=1, ge=0, le=1)
    """Of the confirmed people, the share that may be updated at once; by default all: recommendations change often."""
    max_hours_without_load: float | None = Field(default=48, gt=0)
    """How old the newest load that the models were built with may be (where Mailwright loads nothing: the build)."""
    max_share_vanished: float = Field(default=0.2, ge=0, le=1)
    """Of the confirmed people, the share that may be missing at the destination (a list that was reset)."""
    max_share_lowered: float = Field(default=0.2, ge=0, le=1)
    """Of the people at the destination, the share that may be unsubscribed at once."""
    min_records: int = Field(default=50, ge=0)
    """Shares of fewer records than this trip nothing."""
    refuse_empty_source: bool = True
    """An empty model is a broken build, not a company without people."""
    max_first_run_creates: int | None = Field(default=None, ge=0)
    """The most people a first run may create."""
    max_events: int | None = Field(default=None, ge=0)
    """The most events that one plan may send; by default a fifth of the people who are subscribed at the destination,
    and `min_records` at least."""


class Checks(_Strict):
    """When Dagster's checks of a sync warn."""

    max_share_rejected: float = Field(default=0.01, ge=0, le=1)
    """Of the records that were sent, the share that the destination may have turned away."""
    max_suppression_lag_hours: float = Field(default=24, gt=0)
    """How old what the destination says of ended subscriptions may be before a build has weighed it."""
    audit_sample: int = Field(default=50, ge=0)
    """People who are read back after each run; 0: none."""
    max_share_drifted: float = Field(default=0.05, ge=0, le=1)
    """Of those, the share that may not be as confirmed."""


def check_name(name: str) -> None:
    """
    Raises:
        ValueError: it cannot be the name of a sync, which becomes that of a file, an asset and a job.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,60}", name):
        raise ValueError("a sync's name has letters, digits and _ alone, at most 60")


class SyncDeclaration(_Strict):
    """The whole file."""

    name: str
    destination: str
    object: Literal["members"] = "members"
    model: str
    """Activation model with one row per person."""
    key: Literal["subscriber_hash"] = "subscriber_hash"
    fields: tuple[FieldMapping, ...] = Field(min_length=1)
    segments: SegmentMirror | None = None
    events: Events | None = None
    addresses: str | None = None
    """Activation model with every address of each person: her word at one of them holds for all."""
    guards: Guards = Guards()
    checks: Checks = Checks()
    account: str = ""
    """Where there are several accounts of one kind: what the environment variables with this one's credentials start
    with in place of the vendor's name (`MAILCHIMP_UK`: MAILCHIMP_UK_API_KEY, MAILCHIMP_UK_LIST_ID)."""
    engagement: bool = False
    """Whether Dagster asks the destination after each run what people did with their mail (`mailwright pull`)."""
    schedule: str | None = None
    """Cron expression in UTC (`"30 5 * * *"`): when Dagster runs this sync. Without one it runs with each refresh."""
    limits: Mapping[str, int] = {}
    """Other limits than in `reverse_etl/limits.yml`: lower ones for an account that others use too, or as many
    connections as the vendor allows."""
    description: str = ""

    @field_validator("model", "addresses")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and not _IDENTIFIER.fullmatch(value):
            raise ValueError("must be the name of a model")
        return value

    @field_validator("name")
    @classmethod
    def _word(cls, value: str) -> str:
        check_name(value)
        return value

    @field_validator("account")
    @classmethod
    def _variable(cls, value: str) -> str:
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError("must be the start of a name of a variable: A-Z, digits, _")
        return value

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None and len(value.split()) != 5:
            raise ValueError('must be a cron expression of five fields, such as "30 5 * * *"')
        return value

    @model_validator(mode="after")
    def _own_vendor(self) -> SyncDeclaration:
        for kind in kinds():
            if kind != self.destination and f"{self.account}_".startswith(f"{kind.upper()}_"):
                raise ValueError(f"account {self.account} is one of {kind}, and the destination is {self.destination}")
        return self

    @model_validator(mode="after")
    def _within_the_vendors_limits(self) -> SyncDeclaration:
        known = adjustable(self.destination)
        for name, value in self.limits.items():
            if name not in known:
                raise ValueError(f"limits.{name} is none that a sync may set; those are: {', '.join(sorted(known))}")
            if not 1 <= value <= known[name]:
                raise ValueError(f"limits.{name} must be from 1 to {known[name]}, and is {value}")
        return self

    @model_validator(mode="after")
    def _once_each(self) -> SyncDeclaration:
        seen: set[str] = set()
        for mapping in self.fields:
            if mapping.field in seen:
                raise ValueError(f"field {mapping.field} is written twice")
            seen.add(mapping.field)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The model's columns that are sent, in order, without repetition."""
        return tuple(dict.fromkeys(mapping.column for mapping in self.fields))

    @property
    def compared(self) -> tuple[Compared, ...]:
        """What the hash of a row is made of, as fine as the finest field that shows it."""
        by_column: dict[str, list[FieldMapping]] = {}
        for mapping in self.fields:
            by_column.setdefault(mapping.column, []).append(mapping)
        found: list[Compared] = []
        for column, mappings in by_column.items():
            worths = [m.significance for m in mappings if m.significance is not None]
            is_whole = len(worths) == len(mappings) and len({m.type for m in mappings}) == 1
            found.append(Compared(column, min(worths) if is_whole else None, mappings[0].type == "date"))
        return tuple(found)

    @property
    def fingerprint(self) -> str:
        """Of what decides how columns become fields: when it changes, everybody's hash does."""
        # without an option that came later where it is not used: a new version changes nobody's hash
        unused = [{"significance"} if m.significance is None else set() for m in self.fields]
        dumps = [m.model_dump(mode="json", exclude=names) for m, names in zip(self.fields, unused, strict=True)]
        text = json.dumps(dumps, sort_keys=True)
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:12]

    @property
    def filled_if_empty(self) -> tuple[str, ...]:
        """Fields whose value at the destination has to be read first."""
        return tuple(mapping.field for mapping in self.fields if mapping.on_null == "fill_if_empty")


def json_schema() -> str:
    """JSON Schema of a sync's file, for editors; `syncs/sync.schema.json` is this."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SyncDeclaration.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _files(settings: Settings) -> dict[str, Path]:
    """Every declaration by name: the company's own, and built-in ones."""
    found: dict[str, Path] = {}
    for folder in (BUILT_IN, own_folder(settings)):
        for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
            found[path.stem] = path
    return found


def own_folder(settings: Settings) -> Path:
    """Where a company's own syncs lie."""
    return settings.home / "syncs"


def list_syncs(settings: Settings) -> list[str]:
    """Names of the syncs that this installation runs: its own ones, and the built-in ones that the settings name.

    Raises:
        ConfigError: the settings name one that there is not.
    """
    files = _files(settings)
    for name in settings.sync_names:
        if name not in files:
            raise ConfigError(
                f"There is no sync '{name}'.",
                where="MAILWRIGHT_SYNCS",
                todo=f"name some of: {', '.join(sorted(files))}",
            )
    return sorted({*settings.sync_names, *(name for name, path in files.items() if path.parent != BUILT_IN)})


def only_sync(settings: Settings) -> str:
    """The sync that is meant where none is named.

    Raises:
        ConfigError: there are several, or none.
    """
    names = list_syncs(settings)
    if len(names) == 1:
        return names[0]
    raise ConfigError(
        "Which sync?" if names else "No sync is declared.",
        where="MAILWRIGHT_SYNCS, and " + str(own_folder(settings)),
        todo=f"name one of: {', '.join(names)}" if names else "make one with `mailwright sync new`",
    )


def _explain(error: ValidationError, raw: dict[str, Any]) -> str:
    """The first problems in words, with the nearest right word for a misspelt key."""
    lines = []
    for problem in error.errors()[:5]:
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = list(SyncDeclaration.model_fields)
            parts = (FieldMapping, SegmentMirror, Events, EventName, EventProperty, Guards, Checks)
            known += [n for model in parts for n in model.model_fields]
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            message = "is not known here" + (f"; did you mean '{near[0]}'?" if near else "")
        lines.append(f"{where}: {message}")
    return "; ".join(lines)


def parse_declaration(path: Path) -> SyncDeclaration:
    """One file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or not a sync; the message names the keys.
    """
    todo = f"correct it; {BUILT_IN.name}/mailchimp.yml of the package shows every key"
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"This sync cannot be read ({error.strerror}).", where=str(path), todo=todo) from None
    except RecursionError:
        raise ConfigError("This sync is nested too deeply.", where=str(path), todo=todo) from None
    except (yaml.YAMLError, ValueError) as error:  # a date that there is not, bytes that are no text
        raise ConfigError(f"This sync is not YAML: {str(error).splitlines()[0]}", where=str(path), todo=todo) from None
    if not isinstance(raw, dict):
        raise ConfigError("This sync is empty, or not a mapping.", where=str(path), todo=todo)
    try:
        declaration = SyncDeclaration.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"This sync is wrong. {_explain(error, raw)}.", where=str(path), todo=todo) from None
    if declaration.name != path.stem:
        raise ConfigError(
            f"This sync calls itself '{declaration.name}'.", where=str(path), todo="give file and `name` the same name"
        )
    return declaration


def read_sync(settings: Settings, name: str) -> SyncDeclaration:
    """The declaration called `name`.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    files = _files(settings)
    if name not in files:
        near = difflib.get_close_matches(name, files, n=1)
        raise ConfigError(
            f"There is no sync '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            where=str(own_folder(settings)),
            todo=f"choose one of: {', '.join(sorted(files))}; or put {name}.yml there",
        )
    return parse_declaration(files[name])

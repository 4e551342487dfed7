"""What a company itself wants recommended: `<home>/recommendation_rules.yml`, written by marketers.

Every build reads it and puts it into two tables of the ML schema, which the models read like any other source. What
each key means is in the docstrings below and, for marketers, in docs/recommendations.md. No file: no rules.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import duckdb
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from warehouse.errors import ConfigError
from warehouse.settings import Settings
from warehouse.strict_yaml import TextLoader

FILE = "recommendation_rules.yml"
_WORDS = {
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "tuple_type": "must be a list",
    "model_type": "must be keys with values",
    "model_attributes_type": "must be keys with values",
}
"""pydantic's kinds of problems in words for marketers; the others read well."""
_TODO = "correct it; docs/recommendations.md shows every key"


def composed(text: str) -> str:
    """Accents composed with their letters (NFC), so that the two ways of writing é are one; in SQL macro composed."""
    return unicodedata.normalize("NFC", text)


Text = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(composed)]
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _calendar_day(value: object) -> object:
    """As it stands; pydantic alone would read a number as seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value.strip()):
        raise ValueError("write the day like 2026-05-31")
    return value


Day = Annotated[date, BeforeValidator(_calendar_day)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any, info: ValidationInfo) -> Any:
        """`until:` with nothing behind it has the default, like no `until`; yet it counts as set."""
        if value != "":
            return value
        field = cls.model_fields[str(info.field_name)]
        if field.is_required():
            raise ValueError(_WORDS["missing"])
        return field.get_default()


class Named(_Strict):
    """Products by their codes, then whole categories."""

    products: tuple[Text, ...] = ()
    categories: tuple[Text, ...] = ()
    """As the catalogue has them; capitals do not matter."""

    @property
    def items(self) -> Sequence[tuple[str | None, str | None]]:
        """(product, None) or (None, category), in order."""
        return (*((product, None) for product in self.products), *((None, category) for category in self.categories))


class Some(Named):
    """At least one of them."""

    @model_validator(mode="after")
    def _not_empty(self) -> Some:
        if not self.items:
            raise ValueError("name products or categories")
        return self


class _Rule(_Strict):
    name: Text
    """What the rule is called; no two are called the same."""
    placement: Text | None = None
    """Where it holds; by default everywhere."""
    from_on: Day | None = Field(default=None, alias="from")
    """First day; by default it holds already."""
    until_on: Day | None = Field(default=None, alias="until")
    """Last day; by default it holds until further notice."""

    @model_validator(mode="after")
    def _in_order(self) -> _Rule:
        if self.from_on and self.until_on and self.until_on < self.from_on:
            raise ValueError("until lies before from")
        return self


class Recommend(_Rule):
    """Whoever bought one thing is offered others, before anything else."""

    bought: Some
    """What calls for it."""
    recommend: Some
    """What is offered: products before categories, in the order of the lists, of a category the most popular first."""
    reason: Text = "goes with {product}"
    """The words for it; {product} becomes the name of what was bought."""
    within_days: int = Field(default=90, gt=0, le=36500)
    """For so many days after the purchase."""

    @field_validator("reason")
    @classmethod
    def _one_word_in_braces(cls, value: str) -> str:
        if set("{}") & set(value.replace("{product}", "")):
            raise ValueError("{product} is the only word in braces")
        return value


class Exclude(_Rule, Named):
    """What is not offered at all. Prices narrow what is named; without names they hold for everything."""

    price_below: Price | None = None
    """Only what costs less than this."""
    price_above: Price | None = None
    """Only what costs more than this (or less than price_below, where both are there)."""

    @model_validator(mode="after")
    def _not_everything(self) -> Exclude:
        prices = (self.price_below, self.price_above)
        if not self.items and prices == (None, None):
            raise ValueError("name products, categories, price_below or price_above")
        if self.price_below is not None and self.price_above is not None and self.price_above < self.price_below:
            raise ValueError("price_above lies below price_below: that excludes every price")
        return self

    @model_validator(mode="after")
    def _not_wider_than_meant(self) -> Exclude:
        """A list whose last entry was commented out is no longer about a few products, but about every price."""
        if not self.items and self.model_fields_set & Named.model_fields.keys():
            raise ValueError("products or categories is empty; leave it out if prices alone are to count")
        return self


class Boost(_Rule, Some):
    """What is offered sooner (a factor above 1) or later (below 1)."""

    factor: float = Field(ge=0.001, le=1000, allow_inf_nan=False)
    """What scores and numbers of orders are multiplied by. Of several rules about a product the first counts."""


class Rules(_Strict):
    """The whole file."""

    recommend: tuple[Recommend, ...] = ()
    exclude: tuple[Exclude, ...] = ()
    boost: tuple[Boost, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Rules:
        names = [rule.name for _, _, rule in self.each()]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two rules are called '{twice[0]}'")
        return self

    def each(self) -> Iterator[tuple[str, int, Recommend | Exclude | Boost]]:
        """(kind, position from 1, rule)."""
        for kind in ("recommend", "exclude", "boost"):
            for position, rule in enumerate(getattr(self, kind), 1):
                yield kind, position, rule

    def items(self) -> Iterator[tuple[str, str, int, str | None, str | None]]:
        """(rule, role, position from 1, product or None, category or None)."""
        for _, _, rule in self.each():
            roles = (
                {"bought": rule.bought, "offered": rule.recommend} if isinstance(rule, Recommend) else {"offered": rule}
            )
            for role, named in roles.items():
                for position, (product, category) in enumerate(named.items, 1):
                    yield rule.name, role, position, product, category


def rules_path(settings: Settings) -> Path:
    """Where the file lies, if there is one."""
    return settings.home / FILE


def _placements(settings: Settings) -> tuple[str, ...]:
    path = settings.dbt_project_dir / "dbt_project.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(content["vars"]["recommendation_placements"])


def _explain(error: ValidationError, raw: Any) -> str:
    """One problem: which rule, which key, what is wrong. A misspelt key comes before the one that is missing for it."""
    problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    where = [str(part) for part in problem["loc"]]
    message = _WORDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    if problem["type"] == "extra_forbidden":
        models = (Rules, Recommend, Exclude, Boost)
        known = {field.alias or name for model in models for name, field in model.model_fields.items()}
        near = difflib.get_close_matches(where[-1], sorted(known), n=1)
        message += f"; did you mean '{near[0]}'?" if near else ""
        message += "; a decimal is written with a point" if where[-1].isdigit() else ""
    rule = ""
    if len(where) > 1 and where[1].isdigit():
        entry = raw[where[0]][int(where[1])]
        name = entry.get("name") if isinstance(entry, dict) else None
        rule, where = f"Rule '{name}'" if name else f"Rule {int(where[1]) + 1} of {where[0]}", where[2:]
    return ": ".join(part for part in (rule, ".".join(where), message) if part)


def read_rules(settings: Settings) -> Rules:
    """The file, checked; without one, or with an empty one, no rules.

    Raises:
        ConfigError: it is not YAML, or a rule is wrong; the message names the file, the rule and what is wrong.
    """
    path = rules_path(settings)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=TextLoader) or {}  # noqa: S506 - it makes texts alone
    except FileNotFoundError:
        return Rules()
    except OSError as error:
        raise ConfigError(f"The rules cannot be read ({error.strerror}).", where=str(path), todo=_TODO) from None
    except RecursionError:
        raise ConfigError("The rules are nested too deeply.", where=str(path), todo=_TODO) from None
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The rules are not YAML: {reason}", where=str(path), todo=_TODO) from None
    if not isinstance(raw, dict):
        raise ConfigError("The rules are no mapping of recommend, exclude and boost.", where=str(path), todo=_TODO)
    try:
        rules = Rules.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{_explain(error, raw)}.", where=str(path), todo=_TODO) from None
    known = _placements(settings) if any(rule.placement for _, _, rule in rules.each()) else ()
    for _, _, rule in rules.each():
        if rule.placement and rule.placement not in known:
            raise ConfigError(
                f"Rule '{rule.name}': placement: there is no '{rule.placement}', only {', '.join(known)}.",
                where=str(path),
                todo=_TODO,
            )
    return rules


def write_rules(con: duckdb.DuckDBPyConnection, settings: Settings, rules: Rules) -> None:
    """Replace the rules that the models read."""
    n_items: dict[str, int] = {}
    for name, role, *_ in rules.items():
        n_items[name] = n_items.get(name, 0) + (role == "offered")
    rows = [
        [
            rule.name, kind, position, n_items.get(rule.name, 0), rule.placement, rule.from_on, rule.until_on,
            *(getattr(rule, key, None) for key in ("factor", "reason", "within_days", "price_below", "price_above")),
        ]
        for kind, position, rule in rules.each()
    ]  # fmt: skip
    con.execute("begin")
    for table, values in (("recommendation_rules", rows), ("recommendation_rule_items", [*rules.items()])):
        con.execute(f'delete from "{settings.ml_schema}".{table}')
        if values:
            marks = ", ".join("?" for _ in values[0])
            con.executemany(f'insert into "{settings.ml_schema}".{table} values ({marks})', values)
    con.execute("commit")

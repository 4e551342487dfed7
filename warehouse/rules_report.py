"""How many rules of recommendation there are, and what of them the catalogue does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from warehouse.rules import FILE, Rules, composed
from warehouse.settings import Settings


@dataclass(frozen=True)
class RulesReport:
    """How many rules there are, and what of them the catalogue does not know."""

    n_recommend: int
    n_exclude: int
    n_boost: int
    unknown: tuple[str, ...]
    """Products and categories: they come and go, so that is no error."""

    @property
    def n_rules(self) -> int:
        return self.n_recommend + self.n_exclude + self.n_boost

    @property
    def warning(self) -> str | None:
        """One sentence on what is not known."""
        if not self.unknown:
            return None
        more = f" and {len(self.unknown) - 5} more" if len(self.unknown) > 5 else ""
        return f"{FILE} names what the catalogue does not have: {', '.join(self.unknown[:5])}{more}."

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def report_rules(con: duckdb.DuckDBPyConnection, settings: Settings, rules: Rules) -> RulesReport:
    """Of rules that were read, beside the catalogue of the newest build."""
    counts = Counter(kind for kind, _, _ in rules.each())
    return _report(con, settings, counts, [(product, category) for *_, product, category in rules.items()])


def report_built_rules(con: duckdb.DuckDBPyConnection, settings: Settings) -> RulesReport:
    """Of the rules that the newest build took with it, whatever the file says by now."""
    rules = f'"{settings.ml_schema}".recommendation_rules'
    items = con.execute(
        f"""select items.product_id, items.category
            from "{settings.ml_schema}".recommendation_rule_items as items
            inner join {rules} as rules on items.rule_name = rules.rule_name
            order by rules.kind desc, rules.position, items.role, items.position"""
    ).fetchall()
    counts = dict(con.execute(f"select kind, count(*) from {rules} group by kind").fetchall())
    return _report(con, settings, counts, items)


def _report(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    counts: Mapping[str, int],
    items: Sequence[tuple[str | None, str | None]],
) -> RulesReport:
    """`items`: (product, None) or (None, category), in the order in which they are named."""
    catalogue = _catalogue(con, settings) if items else []
    products, categories = {product for product, _ in catalogue}, {category for _, category in catalogue}
    unknown = [
        f"product {product}" if product else f"category {category}"
        for product, category in items
        if (product not in products if product else str(category).lower() not in categories)
    ]
    return RulesReport(
        counts.get("recommend", 0), counts.get("exclude", 0), counts.get("boost", 0),
        tuple(dict.fromkeys(unknown)) if catalogue else (),
    )  # fmt: skip


def _catalogue(con: duckdb.DuckDBPyConnection, settings: Settings) -> list[tuple[str, str | None]]:
    """(product, category in small letters), as rules write them; empty where nothing was built yet."""
    try:
        rows = con.execute(f'select product_id, category from "{settings.schema}".dim_products').fetchall()
    except duckdb.CatalogException:
        return []
    return [(composed(product), category and composed(category).strip().lower()) for product, category in rows]

"""Fifty segments of every family of operators, for benchmarks.segments. Not a measurement of its own: see there."""

from __future__ import annotations

PLAIN: tuple[str, ...] = (
    *(f"did('page', within='{days} days', at_least={n})" for days, n in ((7, 1), (7, 3), (30, 2), (90, 4), (90, 10))),
    *(
        f"did('Product Viewed', within='{days} days', at_least={n})"
        for days, n in ((7, 1), (30, 1), (30, 3), (90, 2), (365, 5))
    ),
    *(f"did('Product Added', within='{days} days')" for days in (7, 30, 90, 365)),
    *(f"did_not('page', within='{days} days')" for days in (7, 30, 90, 365)),
    "all_of([did('Product Viewed', within='30 days'), did_not('Product Added', within='30 days')])",
    "all_of([did('page', within='90 days'), did_not('page', within='30 days')])",
    "any_of([did('Product Added', within='7 days'), did('Product Viewed', within='7 days', at_least=2)])",
    "n_of(2, [did('page', within='7 days'), did('Product Viewed', within='30 days'), did('Product Added')])",
    *(f"prop('sessions_lifetime', '>=', {n})" for n in (1, 2, 5)),
    *(f"prop('engagement_score', '>=', {n})" for n in (5, 20, 50)),
    "prop('last_session_at', 'within last', '14 days')",
    "prop('last_session_at', 'older than', '180 days')",
    "prop('tenure_days', 'between', [30, 365])",
    "prop('active_days_90d', '>=', 2)",
    "prop('customer_stage', '=', 'visitor')",
    "prop('engagement_level', 'in', ['active', 'highly_engaged'])",
)
"""Answered by features and stages alone: predicates, as one writes them by hand."""

OTHERS: tuple[str, ...] = (
    "did('Product Viewed', within='48 hours')",
    "all_of([did('Product Viewed', within='48 hours'), did_not('Product Added', within='48 hours')])",
    "did('page', between=('90 days', '30 days'), at_least=2)",
    "did('Product Viewed', within='30 days', where=[prop('category', 'is', 'garden')])",
    "did('Product Viewed', within='14 days', at_least=2, in_one='product_id')",
    "total('Product Viewed', 'distinct', 'product_id', '>=', 3, within='30 days')",
    "then_not('Product Added', 'Checkout Started', within='24 hours', started_within='7 days')",
    "then('Product Viewed', 'Product Added', within='2 hours', started_within='7 days', same='product_id')",
    "sequence(['page', 'Product Viewed', 'Checkout Started'], within='1 hour', started_within='3 days')",
    "regularly('page', at_least=2, of=4, period='7 days')",
    "stopped('Product Viewed', active='60 days', silent='30 days')",
    "trend('page', '>=', 1.5, period='30 days')",
    "top_percent('engagement_score', 10)",
    "top_n('sessions_90d', 1000, among=[did('Product Added', within='90 days')])",
    "random_share('benchmark', 10)",
    "hysteresis(prop('engagement_score', '>=', 20), prop('engagement_score', '<', 10))",
)
"""Hours, properties, chains, periods, ranks, samples, history."""


def files() -> dict[str, str]:
    """Text of every segment file, by the model's name."""
    texts = [*PLAIN, *OTHERS]
    if len(texts) != 50 or len(set(texts)) != 50:
        raise ValueError(f"{len(set(texts))} different segments of {len(texts)}, and fifty are promised")
    return {
        f"seg_{number:02d}": f"{{{{ segment(\n    all_of=[{text}],\n) }}}}\n" for number, text in enumerate(texts, 1)
    }

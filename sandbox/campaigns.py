"""The shop's mailings: when, about what, with which links."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox import pools
from sandbox.arrays import DAY, HOUR, Ints, stream
from sandbox.catalogue import Catalogue
from sandbox.config import SandboxConfig
from sandbox.period import Period

N_LINKS = 5
"""Links per mail: four products and their category."""


@dataclass(frozen=True)
class Campaigns:
    """What was sent out: instant, purpose (0 newsletter, 1 product news), topic (category), products linked."""

    ids: list[str]
    send_at: Ints
    purpose: Ints
    topic: Ints
    products: Ints

    def links(self, catalogue: Catalogue) -> list[str]:
        """URL of link j of campaign i at i * (N_LINKS + 1) + j; the last of each is the one that no reader sees."""
        urls = []
        for campaign, topic, products in zip(self.ids, self.topic, self.products.tolist(), strict=True):
            utm = f"?utm_source=newsletter&utm_medium=email&utm_campaign={campaign}"
            urls += [catalogue.urls[product] + utm for product in products]
            urls.append(f"{pools.SHOP_URL}/c/{catalogue.categories[topic].replace(' ', '-')}{utm}")
            urls.append(f"{pools.SHOP_URL}/{utm}&mw_hidden=1")
        return urls


def draw_campaigns(config: SandboxConfig, period: Period, catalogue: Catalogue) -> Campaigns:
    """Newsletters and product news at ten, every so many days up to the last days of the period, topics at random.

    Counted back from the end: the present must have mails to look back on, however the calendar falls.
    """
    rng = stream(config.seed, "campaigns")
    plan = []
    for purpose, days in enumerate((config.newsletter_every_days, config.product_news_every_days)):
        last = period.end // DAY * DAY - (2 + purpose * 4) * DAY + 10 * HOUR
        plan += [(at, purpose) for at in range(last, period.start + 3 * DAY, -days * DAY)]
    plan.sort()
    send_at = np.array([at for at, _ in plan], dtype=np.int64)
    purpose = np.array([kind for _, kind in plan], dtype=np.int64)
    topic = rng.integers(0, len(catalogue.categories), len(plan))
    products = np.zeros((len(plan), N_LINKS - 1), dtype=np.int64)
    for i, (at, category) in enumerate(zip(send_at.tolist(), topic.tolist(), strict=True)):
        inside = catalogue.shown(category)
        launched = inside[catalogue.launched[inside] <= at]
        inside = launched if len(launched) else inside
        weight = catalogue.popularity[inside] / catalogue.popularity[inside].sum()
        products[i] = rng.choice(inside, N_LINKS - 1, replace=len(inside) < N_LINKS - 1, p=weight)
    ids = [f"{'nl' if kind == 0 else 'news'}-{i + 1:03d}" for i, kind in enumerate(purpose.tolist())]
    return Campaigns(ids, send_at, purpose, topic, products)

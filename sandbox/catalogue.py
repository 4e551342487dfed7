"""Products with a hidden style and popularity, their prices and stock over time, and how people pick among them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import SECOND, WEEK, Bools, Floats, Ints, choose, instants, money, pick, stream
from sandbox.config import SandboxConfig
from sandbox.period import Period

N_BANDS = 3
N_STYLES = 5
UNSHOWN = 1e-9
"""Popularity of what is sold but not shown (postage and the like)."""
_STYLE_PULL = 6.0
"""How much likelier a person views a product of their own style than one of another."""


@dataclass(frozen=True)
class Catalogue:
    """Products and their versions. Versions are sorted by (product, instant)."""

    ids: list[str]
    names: list[str]
    urls: list[str]
    images: list[str]
    category: Ints
    style: Ints
    popularity: Floats
    launched: Ints
    currency: str
    version_product: Ints
    version_at: Ints
    version_price: Ints
    version_stock: Ints
    categories: tuple[str, ...] = pools.CATEGORIES

    @property
    def n(self) -> int:
        """Number of products."""
        return len(self.ids)

    def shown(self, category: int) -> Ints:
        """Products of a category that the shop shows; all that it shows where the category has none."""
        browsable = self.popularity > UNSHOWN
        inside = np.flatnonzero((self.category == category) & browsable)
        inside = inside if len(inside) else np.flatnonzero(browsable)
        return inside if len(inside) else np.arange(self.n)

    def version(self, product: Ints, at: Ints) -> Ints:
        """Index of the version in force per (product, instant); before the first one, the first."""
        first, last = self._bounds()
        # versions begin at whole seconds, so seconds decide; product and second fit one sortable integer
        keys = (self.version_product << 32) + self.version_at // SECOND
        found = np.searchsorted(keys, (product << 32) + at // SECOND, side="right") - 1
        return np.clip(found, first[product], last[product])

    def price(self, product: Ints, at: Ints) -> Ints:
        """Price in force, in 1/10,000."""
        return self.version_price[self.version(product, at)]

    def in_stock(self, product: Ints, at: Ints) -> Bools:
        """Whether it can be bought at that instant."""
        return self.version_stock[self.version(product, at)] > 0

    def _bounds(self) -> tuple[Ints, Ints]:
        products = np.arange(self.n)
        first = np.searchsorted(self.version_product, products, side="left")
        last = np.searchsorted(self.version_product, products, side="right") - 1
        return first, last

    def band(self) -> Ints:
        """Price band 0..2 of each product within its category, by its first price."""
        first, _ = self._bounds()
        price = self.version_price[first].astype(float)
        band = np.zeros(self.n, dtype=np.int64)
        for category in range(len(self.categories)):
            inside = np.flatnonzero(self.category == category)
            order = inside[np.argsort(price[inside], kind="stable")]
            band[order] = np.arange(len(order)) * N_BANDS // max(len(order), 1)
        return band

    def json_texts(self) -> tuple[list[str], Ints]:
        """(Segment properties as JSON without the closing brace, index into them per version).

        Versions that differ in stock alone share a text.
        """
        pairs = np.stack([self.version_product, self.version_price], axis=1)
        distinct, text_of_version = np.unique(pairs, axis=0, return_inverse=True)
        texts = []
        for product, price in distinct.tolist():
            fields = {
                "product_id": self.ids[product],
                "name": self.names[product],
                "category": self.categories[self.category[product]],
                "price": price / 10_000,
                "currency": self.currency,
                "url": self.urls[product],
                "image_url": self.images[product],
            }
            texts.append(json.dumps(fields, ensure_ascii=False)[:-1])
        return texts, text_of_version.ravel()

    def columns(self) -> dict[str, pa.Array]:
        """The rows of `shop_products`, by instant: one per version."""
        order = np.lexsort((self.version_product, self.version_at))
        product = self.version_product[order]
        return {
            "product_id": pick(self.ids, product),
            "product_name": pick(self.names, product),
            "category": pick(list(self.categories), self.category[product]),
            "price": money(self.version_price[order]),
            "currency": pick([self.currency], np.zeros(len(product), dtype=np.int64)),
            "product_url": pick(self.urls, product),
            "image_url": pick(self.images, product),
            "stock_quantity": pa.array(self.version_stock[order]),
            "updated_at": instants(self.version_at[order]),
        }


@dataclass(frozen=True)
class Chooser:
    """Draws products for (category, price band, style) groups by popularity: one search for all draws."""

    edges: Floats
    products: Ints
    n_styles: int

    @classmethod
    def of(cls, catalogue: Catalogue) -> Chooser:
        """Weights: popularity, times a pull of one's own style, times closeness of the price band."""
        band = catalogue.band()
        edges, products = [], []
        group = 0
        for category in range(len(catalogue.categories)):
            inside = catalogue.shown(category)
            for own_band in range(N_BANDS):
                for own_style in range(N_STYLES):
                    pull = np.where(catalogue.style[inside] == own_style, _STYLE_PULL, 1.0)
                    near = np.exp(-1.2 * np.abs(band[inside] - own_band))
                    weight = catalogue.popularity[inside] * pull * near
                    edges.append(group + np.cumsum(weight) / weight.sum())
                    products.append(inside)
                    group += 1
        return cls(np.concatenate(edges), np.concatenate(products), N_STYLES)

    def draw(self, rng: np.random.Generator, category: Ints, band: Ints, style: Ints) -> Ints:
        """One product per entry."""
        group = (category * N_BANDS + band) * self.n_styles + style
        found = np.searchsorted(self.edges, group + rng.random(len(group)) * (1 - 1e-12), side="right")
        return self.products[np.minimum(found, len(self.products) - 1)]


def draw_catalogue(config: SandboxConfig, period: Period) -> Catalogue:
    """The simulated catalogue."""
    rng = stream(config.seed, "catalogue")
    n = config.n_products
    category = np.arange(n) % len(pools.CATEGORIES)
    ids = [f"P{10_000 + i}" for i in range(n)]
    names = []
    for i, kind in enumerate(category.tolist()):
        nouns = pools.NOUNS[pools.CATEGORIES[kind]]
        nth = i // len(pools.CATEGORIES)
        adjective = pools.ADJECTIVES[(nth * 7 + kind * 3) % len(pools.ADJECTIVES)]
        suffix = nth // (len(pools.ADJECTIVES))
        names.append(f"{adjective} {nouns[nth % len(nouns)]}" + (f" No. {suffix + 1}" if suffix else ""))
    slugs = [name.lower().replace(" ", "-").replace("'", "").replace(".", "") for name in names]
    price = np.asarray(pools.BASE_PRICE)[category] * np.exp(0.55 * rng.standard_normal(n))
    price = (np.floor(price) + np.where(rng.random(n) < 0.7, 0.99, 0.5)).clip(1.5)
    late = rng.random(n) < config.launched_late_share
    before = np.full(n, period.start - 4 * WEEK)
    launched = np.where(late, period.start + (rng.random(n) * 0.9 * period.length).astype(np.int64), before)
    popularity: Floats = np.power(rng.permutation(n) // len(pools.CATEGORIES) + 3.0, -0.9)
    versions = draw_versions(rng, config, period, (price * 10_000).round().astype(np.int64), launched)
    return Catalogue(
        ids=ids,
        names=names,
        urls=[f"{pools.SHOP_URL}/p/{i.lower()}-{slug}" for i, slug in zip(ids, slugs, strict=True)],
        images=[f"{pools.IMAGE_URL}/{i.lower()}.jpg" for i in ids],
        category=category,
        style=rng.integers(0, N_STYLES, n),
        popularity=popularity,
        launched=launched,
        currency="USD",
        version_product=versions[0],
        version_at=versions[1],
        version_price=versions[2],
        version_stock=versions[3],
    )


def draw_versions(
    rng: np.random.Generator,
    config: SandboxConfig,
    period: Period,
    price: Ints,
    launched: Ints,
) -> tuple[Ints, Ints, Ints, Ints]:
    """(product, instant, price, stock) per version: one at launch, then about every two weeks a stock count.

    Prices change now and then, to 75..120 % of the first price; stock is zero in spells.
    """
    n = len(price)
    n_counts = max(1, int(period.length // (2 * WEEK)))
    grid = launched[:, None] + (np.arange(n_counts + 3) * 2 * WEEK)[None, :]
    grid[:, 1:] += rng.integers(0, WEEK, size=(n, n_counts + 2))
    grid = grid // SECOND * SECOND
    changes = rng.random(grid.shape) < config.price_changes_per_year * 14 / 365
    factor = choose(rng, [1, 2, 2, 3, 1, 1], grid.size).reshape(grid.shape)
    new_price = (price[:, None] * np.array([75, 85, 90, 100, 110, 120])[factor] // 100) // 100 * 100
    last_change = np.maximum.accumulate(np.where(changes, np.arange(grid.shape[1])[None, :], 0), axis=1)
    prices = np.where(last_change == 0, price[:, None], np.take_along_axis(new_price, last_change, axis=1))
    # spells of two to four weeks without stock
    begins = rng.random(grid.shape) < config.out_of_stock_share / 1.5
    lasts = np.roll(begins, 1, axis=1) & (rng.random(grid.shape) < 0.5)
    begins[:, 0], lasts[:, 0] = False, False
    stock = np.where(begins | lasts, 0, 1 + rng.geometric(1 / 80, size=grid.shape))
    inside = (grid < period.end).ravel()
    product = np.repeat(np.arange(n), grid.shape[1])[inside]
    return product, grid.ravel()[inside], prices.ravel()[inside], stock.ravel()[inside]

"""The catalogue behind real order lines: real codes, names and prices; category, stock, URLs simulated."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import DAY, WEEK, Ints, pc, stream
from sandbox.catalogue import N_STYLES, UNSHOWN, Catalogue, draw_versions
from sandbox.config import SandboxConfig
from sandbox.online_retail_read import OrderRows
from sandbox.period import Period

KEYWORDS = (
    # first match wins, so the particular stands before the general
    ("christmas", "CHRISTMAS|XMAS|SANTA|REINDEER|ADVENT|SNOWFLAKE|SNOWMAN|BAUBLE|WREATH|ROBIN"),
    ("candles", "CANDLE|T-LIGHT|TEALIGHT|T LIGHT|LANTERN|INCENSE|LAMP|NIGHT LIGHT|LIGHTS?"),
    ("garden", "GARDEN|PLANT|FLOWER POT|SEED|BIRD|WATERING|HERB|PARASOL|PICNIC|HANGING BASKET|TROWEL|BUTTERFL"),
    ("bags", "BAG|SHOPPER|PURSE|WALLET|SATCHEL|HOLDALL|LUGGAGE|PASSPORT"),
    ("jewellery", "NECKLACE|BRACELET|EARRING|RING|BROOCH|BANGLE|NECKL|HAIR|JEWEL"),
    (
        "kitchen",
        "MUG|CUP|PLATE|BOWL|TEA|CAKE|BAKING|LUNCH|JAR|TIN|SPOON|KITCHEN|COFFEE|JUG|GLASS|DISH|TRAY|APRON|OVEN|"
        "JAM|COOK|RECIPE|CUTLERY|NAPKIN|DOILIES|COASTER|PANTRY|BOTTLE|JELLY|BREAD|SUGAR|EGG|TOWEL|SNACK",
    ),
    ("party", "PARTY|BUNTING|BALLOON|GARLAND|CELEBRAT|BIRTHDAY|WEDDING|CONFETTI|STREAMER"),
    (
        "stationery",
        "CARD|PAPER|PENCIL|NOTEBOOK|WRAP|TAPE|STICKER|ENVELOPE|PEN\\b|BOOK|STAMP|CHALK|CALENDAR|RIBBON|TISSUE|RULER",
    ),
    ("toys", "TOY|DOLL|GAME|PUZZLE|CHILD|SPACEBOY|DOLLY|SKITTLES|JIGSAW|PLAY|TEDDY|SOLDIER|ANIMAL|DINOSAUR|CIRCUS"),
    (
        "decor",
        "HEART|FRAME|SIGN|CLOCK|MIRROR|CUSHION|ORNAMENT|DECORATION|DOOR|HOOK|DRAWER|KNOB|BASKET|BOX|CABINET|VASE|"
        "PICTURE|RUG|QUILT|CURTAIN|HANGER|METAL|WOOD|STAR|FLOWER|ROSE",
    ),
)
OTHER = "other"
CATEGORIES = (*(name for name, _ in KEYWORDS), OTHER)
_GOODS = re.compile(r"^(\d{5}|DCGS)")


def category_of(name: str | None) -> int:
    """Index into CATEGORIES by the words of a product's name."""
    text = (name or "").upper()
    for index, (_, words) in enumerate(KEYWORDS):
        if re.search(rf"\b(?:{words})", text):
            return index
    return len(KEYWORDS)


def real_catalogue(config: SandboxConfig, period: Period, rows: OrderRows) -> tuple[Catalogue, Ints]:
    """(catalogue, product index per row). Codes stay as written, codes of postage and the like included."""
    rng = stream(config.seed, "catalogue")
    encoded = rows.stock_code.dictionary_encode()
    ids = encoded.dictionary.to_pylist()
    product = np.asarray(encoded.indices).astype(np.int64)
    n = len(ids)
    names = _most_frequent(product, rows.description, n)
    price = _usual_price(product, rows.price, n)
    first_sale = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first_sale, product, rows.at)
    launched = (first_sale - WEEK) // DAY * DAY
    sold = np.bincount(product, minlength=n).astype(float)
    goods = np.array([bool(_GOODS.match(code.upper())) for code in ids])
    # prices over time are not known, so the catalogue shows the usual one throughout
    still = config.model_copy(update={"price_changes_per_year": 0.0})
    versions = draw_versions(rng, still, period, price, launched)
    slugs = [re.sub(r"[^a-z0-9]+", "-", code.lower()).strip("-") or "item" for code in ids]
    catalogue = Catalogue(
        ids=ids,
        names=[name or code for name, code in zip(names, ids, strict=True)],
        urls=[f"{pools.SHOP_URL}/p/{slug}" for slug in slugs],
        images=[f"{pools.IMAGE_URL}/{slug}.jpg" for slug in slugs],
        category=np.array([category_of(name) for name in names], dtype=np.int64),
        style=rng.integers(0, N_STYLES, n),
        popularity=np.where(goods & (price > 0), sold, UNSHOWN),
        launched=launched,
        currency="GBP",
        version_product=versions[0],
        version_at=versions[1],
        version_price=versions[2],
        version_stock=versions[3],
        categories=CATEGORIES,
    )
    return catalogue, product


def _most_frequent(product: Ints, text: pa.Array, n: int) -> list[str | None]:
    """Per product its most frequent description; of equally frequent ones the alphabetically first."""
    table = pa.table({"product": pa.array(product), "text": text}).filter(pc.is_valid(text))
    counts = table.group_by(["product", "text"], use_threads=False).aggregate([([], "count_all")])
    counts = counts.sort_by([("product", "ascending"), ("count_all", "descending"), ("text", "ascending")])
    names: list[str | None] = [None] * n
    of, texts = np.asarray(counts["product"]), counts["text"].to_pylist()
    for position in np.unique(of, return_index=True)[1].tolist():
        names[int(of[position])] = texts[position]
    return names


def _usual_price(product: Ints, price: Ints, n: int) -> Ints:
    """Per product its most frequent positive price (the lower of equally frequent ones), else 0."""
    positive = price > 0
    pairs, counts = np.unique(np.stack([product[positive], price[positive]], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))
    of, first = np.unique(pairs[order, 0], return_index=True)
    usual = np.zeros(n, dtype=np.int64)
    usual[of] = pairs[order, 1][first]
    return usual

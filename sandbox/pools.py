"""Words the shop is made of. Addresses use reserved example domains (RFC 2606), phones fictional numbers."""

from __future__ import annotations

from typing import NamedTuple


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class City(NamedTuple):
    """A place people live in. `utc_hours` is the standard offset: daylight saving does not matter here."""

    name: str
    country: str
    time_zone: str
    utc_hours: float
    weight: float


CITIES = (
    City("New York", "United States", "America/New_York", -5, 16),
    City("Los Angeles", "United States", "America/Los_Angeles", -8, 7),
    City("Chicago", "United States", "America/Chicago", -6, 6),
    City("Austin", "United States", "America/Chicago", -6, 4),
    City("Boston", "United States", "America/New_York", -5, 4),
    City("Toronto", "Canada", "America/Toronto", -5, 5),
    City("Ciudad de México", "Mexico", "America/Mexico_City", -6, 3),
    City("London", "United Kingdom", "Europe/London", 0, 10),
    City("Manchester", "United Kingdom", "Europe/London", 0, 3),
    City("Berlin", "Germany", "Europe/Berlin", 1, 5),
    City("München", "Germany", "Europe/Berlin", 1, 2),
    City("Paris", "France", "Europe/Paris", 1, 5),
    City("Madrid", "Spain", "Europe/Madrid", 1, 4),
    City("Roma", "Italy", "Europe/Rome", 1, 3),
    City("Amsterdam", "Netherlands", "Europe/Amsterdam", 1, 3),
    City("Malmö", "Sweden", "Europe/Stockholm", 1, 2),
    City("Kraków", "Poland", "Europe/Warsaw", 1, 3),
    City("İstanbul", "Turkey", "Europe/Istanbul", 3, 2),
    City("Tel Aviv", "Israel", "Asia/Jerusalem", 2, 2),
    City("Dubai", "United Arab Emirates", "Asia/Dubai", 4, 2),
    City("Mumbai", "India", "Asia/Kolkata", 5.5, 3),
    City("Singapore", "Singapore", "Asia/Singapore", 8, 2),
    City("Tokyo", "Japan", "Asia/Tokyo", 9, 3),
    City("Sydney", "Australia", "Australia/Sydney", 10, 3),
)
STORE_CITIES = ("New York", "London", "Berlin")
"""Cities with a shop of bricks: orders at the point of sale come from people there."""

FIRST_NAMES = _words(
    "Anna Maria James John Mary Linda David Sarah Emma Olivia Noah Liam Lucas Mia Sofia Laura Paul Peter "
    "Julia Karen Robert Daniel Eva Nina Clara Oscar Hugo Leo Max Ella Grace Henry Jack Lily Ruby Ivy Arthur "
    "Alice Rose Thomas Martin Simon Helen Diana Victor Marta Carla Bruno Felix Greta Ines Jonas Kira Lena "
    "Milo Nora Otto Petra Quentin Rita Stella Tina Uma Vera Wanda Xenia Yara Zoe Amir Priya Arjun Mei Kenji "
    "Aisha Omar Fatima"
)
LAST_NAMES = _words(
    "Smith Jones Brown Taylor Wilson Miller Davis Clark Lewis Walker Hall Young King Wright Hill Green Adams "
    "Baker Nelson Carter Mitchell Turner Phillips Campbell Parker Evans Edwards Collins Stewart Morris Rogers "
    "Reed Cook Morgan Bell Murphy Bailey Cooper Cox Ward Rossi Ferrari Bianchi Meyer Schmidt Weber Wagner "
    "Becker Dubois Leroy Moreau Garcia Lopez Martin Perez Silva Santos Costa Novak Kowalski Jansen Visser "
    "Berg Lund Patel Singh Khan Sharma Tanaka Sato Suzuki Kim Chen Wang Levy Cohen Haddad Nasser Yilmaz"
)
UNICODE_NAMES = (
    # first, last, and their ASCII forms for the address
    ("José", "Núñez", "jose", "nunez"),
    ("Zoë", "Brontë", "zoe", "bronte"),
    ("François", "Lefèvre", "francois", "lefevre"),
    ("Jürgen", "Groß", "juergen", "gross"),
    ("Łukasz", "Wójcik", "lukasz", "wojcik"),
    ("Søren", "Ødegård", "soren", "odegard"),
    ("Ánh", "Nguyễn", "anh", "nguyen"),
    ("Seán", "O’Brien", "sean", "obrien"),
    ("D'Arcy", "O'Neill", "darcy", "oneill"),
    ("Ольга", "Иванова", "olga", "ivanova"),
    ("Ελένη", "Παπαδοπούλου", "eleni", "papadopoulou"),
    ("محمد", "الحسن", "mohammed", "alhassan"),
    ("ليلى", "حداد", "layla", "haddad"),
    ("נועה", "כהן", "noa", "cohen"),
    ("さくら", "田中", "sakura", "tanaka"),
    ("伟", "王", "wei", "wang"),
    ("𠮷", "野家", "yoshi", "noya"),
    ("민준", "김", "minjun", "kim"),
    ("प्रिया", "शर्मा", "priya", "sharma"),
    ("Chloé 🌸", "Martin", "chloe", "martin"),
    ("🦄", "Unicorn", "unicorn", "unicorn"),
    ("Anna‑Lena", "van der Berg", "annalena", "vandenberg"),
    ("Renée-Zoe\u0301", "Dvořák", "renee", "dvorak"),  # a decomposed accent
    ("👩‍👩‍👧", "Familie Öz", "familie", "oez"),  # joined by U+200D
)
TEST_NAMES = (("TEST", "TEST"), ("Test", "Account"), ("test", "test"), ("QA", "DO NOT USE"), ("asdf", "asdf"))
INVALID_EMAILS = (
    "no email",
    "n/a",
    "unknown@",
    "@example.com",
    "jane at example.com",
    "jane@@example.com",
    "jane.doe@example",
    "jane..doe@example.com",
    "jane doe@example.com",
    "jane@example..com",
    "jane@-example.com",
    "x",
)
MAIL_DOMAINS = ("inbox.example.com", "mail.example.net", "post.example.org", "example.com", "example.org")
ROLES = ("info", "sales", "office", "support")
N_COMPANY_DOMAINS = 60

CATEGORIES = ("coffee", "tea", "kitchen", "decor", "candles", "stationery", "garden", "toys")
CONSUMABLES = ("coffee", "tea", "candles")
ADJECTIVES = _words(
    "Amber Arctic Bold Breezy Bright Calm Classic Cosy Crimson Daily Deep Early Evening Fine Forest Gentle "
    "Golden Grand Harbour Highland Ivory Jade Little Lunar Mellow Misty Modern Morning Nordic Old Pale Quiet "
    "Rustic Scarlet Silver Soft Spring Still Summer Velvet Vintage Warm Wild Winter"
)
NOUNS = {
    "coffee": ["Espresso Blend", "Single Origin", "Decaf Roast", "Filter Roast", "Cold Brew Pack", "House Blend"],
    "tea": ["Earl Grey", "Green Tea", "Oolong", "Herbal Infusion", "Chai", "Jasmine Pearls"],
    "kitchen": ["Pour-Over Set", "Ceramic Mug", "Chef's Knife", "Cutting Board", "Milk Frother", "Serving Bowl"],
    "decor": ["Wall Print", "Photo Frame", "Cushion", "Throw", "Vase", "Table Lamp"],
    "candles": ["Soy Candle", "Tealight Box", "Pillar Candle", "Scented Candle", "Candle Refill", "Lantern"],
    "stationery": ["Notebook", "Fountain Pen", "Planner", "Card Set", "Washi Tape", "Desk Organizer"],
    "garden": ["Planter", "Seed Kit", "Watering Can", "Bird Feeder", "Herb Pot", "Garden Light"],
    "toys": ["Wooden Train", "Puzzle", "Plush Bear", "Building Blocks", "Board Game", "Paint Set"],
}
BASE_PRICE = (14.0, 9.0, 38.0, 32.0, 16.0, 11.0, 24.0, 27.0)
"""Median price per category, in the order of CATEGORIES."""

SHOP_URL = "https://shop.example.com"
IMAGE_URL = "https://cdn.example.com/products"
USER_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 Version/18.4 Mobile Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/136.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/136.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.4 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:138.0) Gecko/20100101 Firefox/138.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/136.0 Safari/537.36 Edg/136.0",
)
REFERRERS = ("", "https://search.example/", "https://social.example/", "https://blog.example.org/gift-guide")
PAGES = (
    ("/", "Home"),
    ("/about", "About us"),
    ("/blog/how-we-choose", "How we choose"),
    ("/help/shipping", "Shipping and returns"),
    ("/cart", "Your cart"),
    ("/newsletter", "Newsletter"),
    *((f"/c/{category}", category.capitalize()) for category in CATEGORIES),
)
FORM_SOURCES = ("footer", "popup", "checkout", "blog", "instagram_ad", "referral")
CRM_SOURCES = ("web_account", "trade_fair", "sales_call", "support", "store_signup", "webinar")
WORDINGS = ("2024-06-v1", "2025-09-v2")
"""Versions of the consent wording; the second one holds since WORDING_CHANGED."""
WORDING_CHANGED = (2025, 9, 1)

APPLE_PROXY_AGENT = "Mozilla/5.0"
GMAIL_PROXY_AGENT = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
SCANNER_AGENT = "Mozilla/5.0 (compatible; LinkScanner/3.2; +https://scanner.example)"

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
PLACEHOLDER_EMAILS = ("none@none.com", "test@test.com", "noemail@noemail.com")
"""What clerks type where an address is asked for and none is given. Nobody is ever mailed there: nobody consented."""
PLACEHOLDER_PHONES = ("0000000000", "+10000000000", "+18005551212", "+99999999999")
"""The third one is a proper number: that of directory assistance."""
AREA_CODES = _words(
    "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 220 223 224 225 227 228 229 231 234 "
    "235 239 240 248 251 252 253 254 256 260 262 267 269 270 272 274 276 279 281 283 301 302 303 304 305 307 "
    "308 309 310 312 313 314 315 316 317 318 319 320 321 323 324 325 326 327 329 330 331 332 334 336 337 339 "
    "341 346 347 350 351 352 353 360 361 363 364 369 380 385 386 401 402 404 405 406 407 408 409 410 412 413 "
    "414 415 417 419 423 424 425 430 432 434 435 440 442 443 445 447 448 458 463 464 469 470 472 475 478 479 "
    "480 484 501 502 503 504 505 507 509 510 512 513 515 516 517 518 520 530 531 534 539 540 541 551 557 559 "
    "561 562 563 564 567 570 571 572 573 574 575 580 582 585 586 601 602 603 605 606 607 608 609 610 612 614 "
    "615 616 617 618 619 620 623 626 628 629 630 631 636 640 641 645 646 650 651 656 657 659 660 661 662 667 "
    "669 678 680 681 682 686 689 701 702 703 704 706 707 708 712 713 714 715 716 717 718 719 720 724 725 726 "
    "727 728 730 731 732 734 737 738 740 743 747 748 754 757 760 762 763 765 769 770 771 772 773 774 775 779 "
    "781 785 786 801 802 803 804 805 806 808 810 812 813 814 815 816 817 818 820 821 826 828 830 831 832 835 "
    "838 839 840 843 845 847 848 850 854 856 857 858 859 860 862 863 864 865 870 872 878 901 903 904 906 907 "
    "908 909 910 912 913 914 915 916 917 918 919 920 925 928 929 930 931 934 936 937 938 940 941 943 945 947 "
    "948 949 951 952 954 956 959 970 971 972 973 975 978 979 980 983 984 985 986 989"
)
"""Of the United States; 555-01xx is nobody's in each of them."""
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

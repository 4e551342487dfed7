"""The page that shows what a twin holds, to people (HTML) and to programs (the same as JSON, `.json` at the end).

Everything is in the page itself: no script, and nothing from anywhere else (its Content-Security-Policy says so too).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.twins.holdings import CATEGORIES, FieldValue, Holdings
from sandbox.twins.store import FileStore

FOLDER = Path(__file__).parent / "templates"
ROOT = "/__twin__"
PREFIX = "mw:"
"""What the names of Mailwright's own segments begin with, unless a sync says otherwise."""
LONG = 240
"""Characters of a value that are shown at once; the rest opens on demand."""

FAULTS = {
    "429": "refused as too busy",
    "403": "refused without a word",
    "500": "failed",
    "close_before": "connection broken before it took effect",
    "close_after": "took effect, connection broken before the answer",
    "hang": "took effect, never answered",
    "die": "took effect, then the process died",
    "slow": "answered slowly",
}
_PRODUCT = re.compile(r"(?:mw_?)?r(?:ec)?_?(\d+)_?(name|price|url|link|img|image|image_url)", re.IGNORECASE)
_PARTS = {"link": "url", "img": "image", "image_url": "image"}


@dataclass(frozen=True)
class Shown:
    """A value as the page shows it."""

    text: str
    start: str
    """All of it, unless it is long."""
    href: str
    """Where it leads, if it is a link."""

    @property
    def is_long(self) -> bool:
        return len(self.start) < len(self.text)


def shown(value: Any) -> Shown:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    href = text if re.fullmatch(r"https?://[^\s<>\"]{1,2000}", text) else ""
    return Shown(text, text if len(text) <= LONG else text[: LONG - 1] + "…", href)


def products(fields: Iterable[FieldValue]) -> tuple[list[dict[str, Any]], list[FieldValue]]:
    """(recommended products, put together from their fields; the other fields)."""
    found: dict[int, dict[str, Any]] = {}
    others: list[FieldValue] = []
    for one in fields:
        match = _PRODUCT.fullmatch(one.name)
        if match is None:
            others.append(one)
        elif not is_empty(one.value):
            part = match[2].lower()
            found.setdefault(int(match[1]), {})[_PARTS.get(part, part)] = shown(one.value)
    return [{"number": number, **found[number]} for number in sorted(found)], others


def is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def instant(text: str) -> str:
    """`2011-12-10T09:00:00.123Z` → `2011-12-10 09:00:00`; all are UTC."""
    return text[:19].replace("T", " ")


def short_path(path: str) -> str:
    """Ids of many digits by their beginning."""
    return re.sub(r"[0-9A-Fa-f-]{20,}", lambda found: f"{found[0][:8]}…", path)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(short_path=short_path, n=lambda n: f"{n:,}", instant=instant, shown=shown, query=_query)
    made.globals.update(faults=FAULTS, prefix=PREFIX, root=ROOT)
    return made


@cache
def _style() -> str:
    return (FOLDER / "style.css").read_text(encoding="utf-8")


@cache
def _headers() -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _query(given: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in given.items() if value not in ("", None)})


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


class Pages:
    """One method a page, which gives all that it shows."""

    def __init__(self, store: FileStore, holdings: Holdings) -> None:
        self.store, self.holdings = store, holdings

    def overview(self, _: Request) -> dict[str, Any]:
        standings = self.holdings.standing_counts()
        groups = self.groups()
        counted = {"requests": 0, "writes": 0, "throttled": 0, **self.store.counters()}
        return {
            "total": sum(standings.values()),
            "categories": self.holdings.by_category(standings),
            "standings": [
                {**asdict(self.holdings.standing_of(name)), "name": name, "n": n} for name, n in standings.items()
            ],
            "beside_people": [asdict(one) for one in self.holdings.beside_people() if one.n],
            "groups": groups,
            "n_fields": len(self.holdings.fields()),
            "traffic": {name: counted[name] for name in ("requests", "writes", "throttled")},
            "requests": self.store.requests(limit=8),
        }

    def groups(self) -> list[dict[str, Any]]:
        """The list that people subscribe to, then Mailwright's own, then others."""
        rows = [{**asdict(one), "is_ours": one.name.startswith(PREFIX)} for one in self.holdings.groups()]
        return sorted(rows, key=lambda row: (not row["is_main"], not row["is_ours"]))

    def segments(self, _: Request) -> dict[str, Any]:
        return {"total": sum(self.holdings.standing_counts().values()), "groups": self.groups()}

    def fields(self, _: Request) -> dict[str, Any]:
        return {"fields": [asdict(one) for one in self.holdings.fields()]}

    def people(self, request: Request) -> dict[str, Any]:
        query = request.query_params
        search, group = query.get("q", "").strip()[:254], query.get("group", "")
        category = query.get("category", "")
        if category not in CATEGORIES:
            category = ""
        page = self.holdings.find(
            search=search,
            category=category,
            group=group,
            before=_number(request, "before"),
            after=_number(request, "after"),
        )
        named = next((row["name"] for row in self.groups() if row["id"] == group), group) if group else ""
        return {
            "search": search,
            "category": category,
            "group": group,
            "group_name": named,
            "total": page.total,
            "rows": [{**row, "status": asdict(self.holdings.standing_of(row["standing"]))} for row in page.rows],
            "before": page.before,
            "after": page.after,
            "words": [asdict(one) for one in self.holdings.words_about(search)] if search and not page.total else [],
        }

    def person(self, request: Request) -> dict[str, Any] | None:
        found = self.holdings.person(request.path_params["key"])
        if found is None:
            return None
        history = sorted(asdict(found)["history"], key=lambda fact: instant(fact["at"]))
        status = asdict(self.holdings.standing_of(found.standing))
        return {**asdict(found), "history": history, "status": status}

    def requests(self, request: Request) -> dict[str, Any]:
        rows = self.store.requests(_number(request, "before"), limit=51)
        return {"requests": rows[:50], "before": rows[49]["seq"] if len(rows) > 50 else None}

    # how they are answered

    def html(self, name: str, make: Callable[[Request], dict[str, Any] | None]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            context = make(request)
            status = 200 if context is not None else 404
            if context is None:
                return self._rendered("missing", {}, status)
            if name == "person":
                cards, others = products(FieldValue(**one) for one in context["fields"])
                context |= {
                    "products": cards,
                    "filled": [one for one in others if not is_empty(one.value)],
                    "empty": [one for one in others if is_empty(one.value)],
                }
            return self._rendered(name, context, status)

        return endpoint

    def _rendered(self, name: str, context: Mapping[str, Any], status: int) -> Response:
        template = _environment().get_template(f"{name}.html.j2")
        # our own file, and no closing tag in it
        style = Markup(_style())  # noqa: S704
        text = template.render(**context, here=name, holdings=self.holdings, style=style)
        return HTMLResponse(text, status, headers=_headers())

    def json(self, make: Callable[[Request], dict[str, Any] | None]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            context = make(request)
            if context is None:
                return JSONResponse({"simulated": True, "error": "not found"}, 404, headers=_headers())
            return JSONResponse({"simulated": True, "vendor": self.holdings.vendor, **context}, headers=_headers())

        return endpoint


def page_routes(store: FileStore, holdings: Holdings) -> Sequence[BaseRoute]:
    pages = Pages(store, holdings)

    async def to_overview(_: Request) -> Response:
        return RedirectResponse(f"{ROOT}/", 307)

    routes = [Route("/", to_overview), Route(ROOT, to_overview)]
    routes += [
        Route(f"{ROOT}/overview.json", pages.json(pages.overview)),
        Route(f"{ROOT}/people/{{key}}.json", pages.json(pages.person)),
        Route(f"{ROOT}/people/{{key}}", pages.html("person", pages.person)),
        Route(f"{ROOT}/", pages.html("overview", pages.overview)),
    ]
    for name, make in (
        ("people", pages.people),
        ("segments", pages.segments),
        ("fields", pages.fields),
        ("requests", pages.requests),
    ):
        routes.append(Route(f"{ROOT}/{name}.json", pages.json(make)))
        routes.append(Route(f"{ROOT}/{name}", pages.html(name, make)))
    return routes

"""The client of all destinations: how long it waits, what it limits, and what it keeps to itself."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from email.utils import formatdate

import httpx
import pytest

from reverse_etl.errors import DestinationDown, NoAnswer
from reverse_etl.http import Bearer, HttpClient, RetryPolicy, pause_asked
from reverse_etl.limiter import Limiter, Window

NOW = 1_800_000_000.0


def _asked(**headers: str) -> float | None:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return pause_asked(httpx.Response(429, headers=given), NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"retry_after": formatdate(NOW - 30, usegmt=True)}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-3"}, None),
        ({"ratelimit_reset": "12"}, 12),
        ({"x_ratelimit_reset": "21"}, 21),  # recorded
        ({"x_ratelimit_reset": f"{NOW + 21:.0f}"}, 21),  # as the vendor's page has it
        ({"x_ratelimit_reset": f"{NOW - 2:.0f}"}, 0),
        ({"retry_after": "7", "ratelimit_reset": "60", "x_ratelimit_reset": "90"}, 7),
        ({"retry_after": "soon", "x_ratelimit_reset": "90"}, 90),
        # a destination whose clock is an hour ahead of ours
        ({"date": formatdate(NOW + 3600, usegmt=True), "x_ratelimit_reset": f"{NOW + 3621:.0f}"}, 21),
    ],
)
def test_how_long_a_destination_wants_to_be_left_alone(headers: dict[str, str], seconds: float | None) -> None:
    assert _asked(**headers) == seconds


Answer = Callable[[httpx.Request], httpx.Response]


def _client(answer: Answer, naps: list[float], **options: object) -> HttpClient:
    return HttpClient(
        "https://api.vendor.test/v1",
        auth=Bearer("secret"),
        connections=2,
        timeout=5,
        secrets=("secret",),
        headers={"Revision": "7"},
        transport=httpx.MockTransport(answer),
        sleep=naps.append,
        clock=lambda: NOW,
        **options,  # pyright: ignore[reportArgumentType]
    )


def test_the_pause_asked_for_is_the_one_taken() -> None:
    naps: list[float] = []
    answers = [httpx.Response(429, headers={"x-ratelimit-reset": "21"}), httpx.Response(200)]
    with_pauses = _client(lambda _: answers.pop(0), naps)
    assert with_pauses.request("GET", "/x").status_code == 200
    assert naps == [21]
    assert with_pauses.traffic.throttled == 1


def test_an_instant_that_has_passed_is_no_reason_to_hammer() -> None:
    naps: list[float] = []
    client = _client(lambda _: httpx.Response(429, headers={"x-ratelimit-reset": "0"}), naps)
    with pytest.raises(DestinationDown):
        client.request("GET", "/x")
    assert len(naps) == RetryPolicy().throttled - 1
    assert naps[-1] > naps[0] > 0


def test_who_asks_for_more_patience_than_a_run_has_ends_it() -> None:
    naps: list[float] = []
    client = _client(lambda _: httpx.Response(429, headers={"retry-after": "3600"}), naps)
    with pytest.raises(DestinationDown, match="asks for 3600 seconds of patience"):
        client.request("GET", "/x")
    assert naps == []


def test_each_attempt_asks_the_limiter() -> None:
    naps: list[float] = []
    answers = [httpx.Response(503), httpx.Response(503), httpx.Response(200)]
    client = _client(lambda _: answers.pop(0), naps)
    waits: list[float] = []
    limiter = Limiter(Window(1, 10), clock=lambda: 0.0, sleep=waits.append)
    client.request("GET", "/x", limiter=limiter)
    assert waits == [10, 20]


def test_a_post_that_asks_is_no_write() -> None:
    client = _client(lambda _: httpx.Response(200), [])
    client.request("POST", "/search", json={}, is_read=True)
    client.request("POST", "/members", json={})
    assert (client.traffic.requests, client.traffic.writes) == (2, 1)


def test_files_are_fetched_without_credentials_and_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    """The link is its own permission: whoever reads it in a log has the file."""
    caplog.set_level(logging.DEBUG)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"rows")

    client = _client(answer, [])
    file = io.BytesIO()
    link = "https://files.elsewhere.test/x.csv?signature=abc"
    assert client.download(link, file) == 200
    assert file.getvalue() == b"rows"
    assert str(seen[0].url) == link
    assert "authorization" not in seen[0].headers
    assert "revision" not in seen[0].headers
    client.request("GET", "/x")
    assert (seen[1].headers["authorization"], seen[1].headers["revision"]) == ("Bearer secret", "7")
    assert "signature" not in caplog.text


def test_a_file_that_breaks_off_is_fetched_anew() -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield b"half of the fi"
            raise httpx.ReadError("gone")

    answers = [httpx.Response(200, stream=Broken()), httpx.Response(500), httpx.Response(200, content=b"whole")]
    client = _client(lambda _: answers.pop(0), [])
    file = io.BytesIO()
    assert client.download("https://files.elsewhere.test/x", file) == 200
    assert file.getvalue() == b"whole"


def test_a_file_that_is_refused_is_not_written() -> None:
    client = _client(lambda _: httpx.Response(403, content=b"<Error/>"), [])
    file = io.BytesIO()
    assert client.download("https://files.elsewhere.test/x", file) == 403
    assert file.getvalue() == b""


@pytest.mark.parametrize("link", ["http://[", "ftp://files.elsewhere.test/x", "no link"])
def test_a_link_that_is_none_is_one_error(link: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.UnsupportedProtocol("no such protocol", request=request)

    with pytest.raises((DestinationDown, NoAnswer)):
        _client(answer, []).download(link, io.BytesIO())

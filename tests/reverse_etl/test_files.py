"""Files of destinations: whatever their form, all rows or an error, and never more than a piece in memory."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl import files
from reverse_etl.files import UnreadableFile, rows

ROWS = [{"email": "a@shop.test", "error": 'bad "city", or\nworse'}, {"email": "b@shop.test", "error": "é [x] {y}"}]
CSV = 'email,error\na@shop.test,"bad ""city"", or\nworse"\nb@shop.test,é [x] {y}\n'


@pytest.mark.parametrize("is_zipped", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        CSV,
        "\ufeff" + CSV.replace("\n", "\r\n").replace("or\r\n", "or\n"),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(json.dumps(row) for row in ROWS),
        json.dumps({"count": 2, "errors": ROWS}),
    ],
    ids=["csv", "csv of Windows", "array", "indented", "lines", "wrapped"],
)
def test_every_form_gives_the_same_rows(text: str, is_zipped: bool) -> None:
    content = text.encode()
    assert list(rows(io.BytesIO(gzip.compress(content) if is_zipped else content))) == ROWS


_values = st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text(), max_size=2))
_objects = st.lists(st.dictionaries(st.text(), _values, max_size=4), max_size=6)


@given(_objects, st.booleans(), st.integers(1, 7))
def test_json_is_read_in_pieces_of_any_size(objects: list[dict[str, Any]], is_array: bool, size: int) -> None:
    text = json.dumps(objects) if is_array else "\n".join(json.dumps(one) for one in objects)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_CHUNK", size)
        assert list(rows(io.BytesIO(text.encode()))) == objects


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS)[:-1].encode(),
        json.dumps(ROWS)[:-9].encode(),
        json.dumps(ROWS)[: json.dumps(ROWS).index("}") + 1].encode(),
        gzip.compress(CSV.encode())[:-3],
        gzip.compress(CSV.encode())[:20],
    ],
    ids=["no end of the array", "half an object", "half the objects", "zip without its end", "half a zip"],
)
def test_what_is_cut_off_is_an_error(content: bytes) -> None:
    with pytest.raises(UnreadableFile):
        list(rows(io.BytesIO(content)))


def test_nothing_is_no_rows_and_scalars_have_no_name() -> None:
    assert list(rows(io.BytesIO(b""))) == []
    assert list(rows(io.BytesIO(b"[]"))) == []
    assert list(rows(io.BytesIO(b'["a@shop.test", "b@shop.test"]'))) == [{"": "a@shop.test"}, {"": "b@shop.test"}]


@pytest.mark.parametrize("form", ["csv", "lines", "array"])
def test_memory_does_not_grow_with_the_file(form: str) -> None:
    """20 MB of rows, of which never more than a few pieces are held."""
    one = {"email": "somebody@shop.test", "error": "x" * 980}
    n = 20_000
    if form == "csv":
        content = b"email,error\n" + ",".join(one.values()).encode().join([b""] + [b"\n"] * (n - 1) + [b""])
    else:
        text = json.dumps(one).encode()
        content = b"\n".join([text] * n) if form == "lines" else b"[" + b",".join([text] * n) + b"]"
    file = io.BytesIO(gzip.compress(content, 1))
    del content
    tracemalloc.start()
    found = sum(1 for _ in rows(file))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == n
    assert peak < 2_000_000

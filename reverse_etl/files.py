"""Rows of a file that a destination made: CSV, JSON or lines of JSON, compressed or not, whichever it turns out to be.

Vendors say little of their files, so the file itself decides. It is read as a stream: memory does not grow with it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from typing import IO, Any

_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 16


class UnreadableFile(Exception):
    """Cut off, or nothing that one can read."""


def rows(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The file's rows, from its beginning; a value that is no object comes under the key ''.

    Raises:
        UnreadableFile: on the way, for a file that ends too early above all.
    """
    file.seek(0)
    is_zipped = file.read(2) == _GZIP
    file.seek(0)
    text = io.TextIOWrapper(gzip.GzipFile(fileobj=file) if is_zipped else file, "utf-8-sig", "replace", newline="")  # pyright: ignore[reportArgumentType]
    try:
        start = text.read(_CHUNK).lstrip()[:1]
        text.seek(0)
        yield from _json_rows(text) if start in {"{", "["} else _csv_rows(text)
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UnreadableFile(type(error).__name__) from None
    finally:
        text.detach()


def _csv_rows(text: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    for row in csv.DictReader(text):
        yield {name: value for name, value in row.items() if name is not None}


def _json_rows(text: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    """Objects one after the other, in an array or not; those in a list inside an object that wraps them."""
    decoder = json.JSONDecoder()
    buffer, at, is_over, depth = "", 0, False, 0
    while True:
        while at < len(buffer) and buffer[at] in " \t\r\n,[]":
            depth += (buffer[at] == "[") - (buffer[at] == "]")
            at += 1
        try:
            value, at = decoder.raw_decode(buffer, at)
        except json.JSONDecodeError:
            if is_over:
                if at < len(buffer) or depth:
                    raise UnreadableFile("JSON that ends too early") from None
                return
            more = text.read(_CHUNK)
            buffer, at, is_over = buffer[at:] + more, 0, not more
            continue
        inner = [item for item in value.values() if _is_list_of_objects(item)] if isinstance(value, dict) else []
        if inner:
            yield from inner[0]
        else:
            yield value if isinstance(value, dict) else {"": value}


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)

"""Files before they are read: their format, their hash, and a plain UTF-8 copy where the original is none."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from warehouse.errors import DataError, RetriableError

Format = Literal["csv", "jsonl", "parquet"]
EXTENSIONS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson.gz": "jsonl",
}
_CHUNK = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _extension(path: Path) -> str:
    name = path.name.lower()
    return max((ext for ext in EXTENSIONS if name.endswith(ext)), key=len, default="")


def format_of(path: Path, declared: Format | None = None) -> Format:
    """The format that a file's extension says.

    Raises:
        DataError: an extension that is not known.
    """
    if declared:
        return declared
    extension = _extension(path)
    if not extension:
        hint = {
            ".json": "write one object per line and call it .jsonl",
            ".xlsx": "save the sheet as CSV",
            ".xls": "save the sheet as CSV",
            ".zip": "unpack it",
        }.get(path.suffix.lower(), "convert it, or name its format in a manifest (`format: {type: csv}`)")
        raise DataError(
            f"'{path.name}' has an extension that cannot be loaded; known are {', '.join(EXTENSIONS)}.",
            where=str(path),
            todo=hint,
        )
    return EXTENSIONS[extension]


def stem_of(path: Path) -> str:
    """The file's name without its (double) extension."""
    return path.name[: len(path.name) - len(_extension(path))]


@dataclass(frozen=True)
class Fingerprint:
    """A file's content, and what to look at to see that it did not change meanwhile."""

    sha256: str
    size: int
    modified_ns: int


def fingerprint(path: Path) -> Fingerprint:
    """SHA-256 of the content, streamed.

    Raises:
        DataError: the file is empty, or may not be read.
    """
    try:
        stat = path.stat()
        if stat.st_size == 0:
            raise DataError(
                "The file is empty (0 bytes).",
                where=str(path),
                todo="export it again; a file without rows still has its header (CSV) or schema (Parquet)",
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        raise DataError("The file may not be read.", where=str(path), todo="allow this user to read it") from None
    return Fingerprint(digest, stat.st_size, stat.st_mtime_ns)


def assert_unchanged(path: Path, before: Fingerprint) -> None:
    """The file that was read is the file that was hashed.

    Raises:
        RetriableError: someone wrote to it meanwhile.
    """
    stat = path.stat()
    if (stat.st_size, stat.st_mtime_ns) != (before.size, before.modified_ns):
        raise RetriableError(
            "The file changed while it was being read; nothing of it was kept.",
            where=str(path),
            todo="run this again when its writer is done (write elsewhere, then rename into place)",
        )


def sweep(scratch: Path) -> None:
    """Remove copies that a killed load left behind; those of a day may belong to one that runs."""
    oldest = time.time() - 86_400
    for path in scratch.glob("*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < oldest:
                path.unlink()


def _gunzip(source: BinaryIO, path: Path) -> Iterator[bytes]:
    """The members of a gzip file; a cut-off one is an error (DuckDB would read it to where it ends)."""
    decoder = zlib.decompressobj(wbits=31)
    try:
        while chunk := source.read(_CHUNK):
            while chunk:
                yield decoder.decompress(chunk)
                chunk = b""
                if decoder.eof:
                    chunk = decoder.unused_data.lstrip(b"\0")  # padding, or another member
                    if chunk:
                        decoder = zlib.decompressobj(wbits=31)
    except zlib.error:
        raise DataError("This is not a whole gzip file.", where=str(path), todo="export or copy it again") from None
    if not decoder.eof:
        raise DataError(
            "The gzip file is cut off: its end is missing.", where=str(path), todo="export or copy it again"
        )


def _head(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break

    def rest() -> Iterator[bytes]:
        yield head
        yield from chunks

    return head, rest()


def _decoded(chunks: Iterator[bytes], encoding: str, path: Path) -> Iterator[bytes]:
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise DataError(
            f"'{encoding}' is not an encoding.", where=str(path), todo="declare one as Python names it, e.g. latin-1"
        ) from None
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise DataError(
            f"The file is not {encoding} all through.",
            where=str(path),
            todo="declare its encoding in a manifest (`format: {encoding: ...}`)",
        ) from None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _unix_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    pending = b""
    for chunk in chunks:
        data = pending + chunk
        pending = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(pending)].replace(b"\r\n", b"\n")
    yield pending


@contextlib.contextmanager
def as_utf8(path: Path, scratch: Path, *, encoding: str | None, unix_lines: bool = False) -> Iterator[Path]:
    """A plain UTF-8 text file with this file's content: itself, or a copy in `scratch` that is removed afterwards.

    Raises:
        DataError: the gzip is cut off; the declared encoding is unknown or wrong.
    """
    gzipped = path.name.lower().endswith(".gz")
    with path.open("rb") as source:
        chunks = _gunzip(source, path) if gzipped else _chunks(source)
        head, chunks = _head(chunks, 4)
        found = next((name for bom, name in _BOMS if head.startswith(bom)), None)
        wanted = encoding or found or "utf-8"
        is_utf8 = codecs_name(wanted) == "utf-8"
        if is_utf8 and not gzipped and not unix_lines:
            yield path
            return
        if not is_utf8:
            chunks = _decoded(chunks, wanted, path)
        if unix_lines:
            chunks = _unix_lines(chunks)
        scratch.mkdir(parents=True, exist_ok=True)
        copy = scratch / f"copy_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
        try:
            with copy.open("wb") as target:
                for chunk in chunks:
                    target.write(chunk)
            yield copy
        finally:
            copy.unlink(missing_ok=True)


def codecs_name(encoding: str) -> str:
    """The codec's own name, `utf-8` also for its variants with a byte order mark; unknown names as they are."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return encoding
    return "utf-8" if name in {"utf-8-sig", "ascii"} else name

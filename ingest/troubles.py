"""Database and system errors during a load, said in the user's words."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import duckdb

from warehouse.errors import DataError, RetriableError
from warehouse.settings import Settings

_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXT = ("no space left", "disk quota", "file too large", "out of disk", "max_temp_directory_size")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that no more could be written."""
    if isinstance(error, OSError) and error.errno in _FULL_ERRNO:
        return True
    text = str(error).lower()
    return isinstance(error, duckdb.Error) and any(sign in text for sign in _FULL_TEXT)


@contextlib.contextmanager
def understood(settings: Settings, *, where: str) -> Iterator[None]:
    """Turn what the database or the system says into one clear message; our own errors pass.

    Raises:
        RetriableError: disk full, out of memory.
        DataError: the file could not be read to its end, or not at all.
    """
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException):
        raise  # our mistake, not the file's
    except (duckdb.Error, OSError) as error:
        if is_disk_full(error):
            raise RetriableError(
                "The disk (or its quota) is full; nothing of this file was kept, the warehouse is as before.",
                where=str(settings.warehouse_path.parent),
                todo="free some space or move MAILWRIGHT_HOME, then run this again",
            ) from None
        if isinstance(error, duckdb.OutOfMemoryException):
            raise RetriableError(
                "DuckDB ran out of memory; nothing of this file was kept.",
                where=where,
                todo="raise MAILWRIGHT_MEMORY_LIMIT, or load the file in parts",
            ) from None
        raise DataError(
            f"The file cannot be read: {str(error).splitlines()[0]}",
            where=where,
            todo="check that it is whole and readable, then run this again",
        ) from None

"""What to do when a file's columns differ from the table's contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

WORDS = {
    "error": "refuse the file (default)",
    "ignore_new": "leave new columns out",
    "add_new": "add new columns to the table, null in older rows",
    "null_fill": "fill missing columns with null (never a required one)",
    "cast": "cast retyped columns row by row; rows that cannot be cast go to raw.quarantine",
}


@dataclass(frozen=True)
class _Policy:
    """The declared answers; without one of them, that kind of drift refuses the file."""

    new: str = "error"
    missing: str = "error"
    retyped: str = "error"


def _parse(value: Any) -> _Policy:
    if isinstance(value, _Policy):
        return value
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"a word or a list of: {', '.join(WORDS)}")
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is none of: {', '.join(WORDS)}")
    if {"ignore_new", "add_new"} <= set(words):
        raise ValueError("'ignore_new' and 'add_new' exclude each other")
    return _Policy(
        new="ignore" if "ignore_new" in words else "add" if "add_new" in words else "error",
        missing="null_fill" if "null_fill" in words else "error",
        retyped="cast" if "cast" in words else "error",
    )


DriftPolicy = Annotated[_Policy, BeforeValidator(_parse)]
"""`error`, or any of `ignore_new` | `add_new`, `null_fill`, `cast`, as a word or a list."""

REFUSE = _Policy()


def parse_policy(value: Any) -> _Policy:
    """A declared policy.

    Raises:
        ValueError: an unknown word, or two that exclude each other.
    """
    return _parse(value)

"""Registers a command with its docstring as help, laid out for any width."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer


def flow(docstring: str) -> str:
    """Each paragraph on one line, so that the terminal breaks it; indented lines (examples) stay as they are."""
    paragraphs: list[str] = []
    for block in inspect.cleandoc(docstring).split("\n\n"):
        lines = block.splitlines()
        paragraphs.append("\n".join(lines) if lines[0].startswith(" ") else " ".join(lines))
    return "\n\n".join(paragraphs)


def add_command(app: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    app.command(name, help=flow(function.__doc__ or ""))(function)

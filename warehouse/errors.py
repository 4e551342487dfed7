"""Errors, by how one recovers from them.

Each message says what was wrong, where, and what to do; never a secret, never a person's address.
The command line prints it and exits with `exit_code`; a traceback is for our mistakes, not for the user's.
"""

from __future__ import annotations


class MailwrightError(Exception):
    """Base of all errors that a user can understand and act on."""

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, todo: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"Where: {self.where}")
        if self.todo:
            parts.append(f"What to do: {self.todo}")
        return "\n".join(parts)


class ConfigError(MailwrightError):
    """A setting, a declaration or a credential is wrong: nothing was started."""

    exit_code = 2


class DataError(MailwrightError):
    """Data cannot be used as it is: nothing of it was kept half-written."""

    exit_code = 3


class RefusedError(MailwrightError):
    """A guard or a gate said no: the state is as it was before."""

    exit_code = 4


class RetriableError(MailwrightError):
    """Something outside did not answer or was busy: the same command may be run again."""

    exit_code = 5

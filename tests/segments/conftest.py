"""How these tests call the command line."""

from tests.cli.conftest import mailwright

__all__ = ["mailwright"]

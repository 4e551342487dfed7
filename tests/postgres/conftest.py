"""A PostgreSQL of the test's own: a fresh cluster in a temporary folder, on a free loopback port, ended by its id."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

WANTED_MAJOR = 15


@dataclass(frozen=True)
class Server:
    """Where the test's PostgreSQL listens."""

    host: str
    port: int
    user: str
    database: str

    @property
    def dsn(self) -> str:
        return f"host={self.host} port={self.port} user={self.user} dbname={self.database}"

    @property
    def environment(self) -> dict[str, str]:
        """What `dbt_project/profiles.yml` reads for the target `postgres`."""
        return {
            "MAILWRIGHT_PG_HOST": self.host,
            "MAILWRIGHT_PG_PORT": str(self.port),
            "MAILWRIGHT_PG_USER": self.user,
            "MAILWRIGHT_PG_DATABASE": self.database,
            "MAILWRIGHT_PG_PASSWORD": "unused",
        }


def _binaries() -> Path:
    """Folder of the server's programs: the one that MAILWRIGHT_PG_BIN names, else Debian's, else the one on PATH."""
    named = os.environ.get("MAILWRIGHT_PG_BIN")
    if named:
        # only there: whoever names a folder does not mean another server
        if not (Path(named) / "initdb").is_file():
            pytest.skip(f"skipped: no PostgreSQL (no initdb in {named}, which MAILWRIGHT_PG_BIN names)")
        return Path(named).resolve()
    debian = Path(f"/usr/lib/postgresql/{WANTED_MAJOR}/bin")
    if (debian / "initdb").is_file():
        return debian
    on_path = shutil.which("initdb")
    if not on_path:
        pytest.skip(
            f"skipped: no PostgreSQL (no initdb in {debian} or on PATH; MAILWRIGHT_PG_BIN names another folder)"
        )
    return Path(on_path).resolve().parent


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root: then its system user runs it."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("skipped: no PostgreSQL (running as root, and there is no user 'postgres' or 'nobody' to run it)")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running server with an empty database `mailwright`, collation C (text sorts as in DuckDB)."""
    binaries = _binaries()
    user = _server_user()
    folder = Path(tempfile.mkdtemp(prefix="mailwright-pg-"))
    if user:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)

    data, port = folder / "data", _free_port()
    try:
        run(
            str(binaries / "initdb"), "-D", str(data), "-U", "mailwright", "-A", "trust", "-E", "UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            "-c fsync=off -c synchronous_commit=off -c timezone=UTC -c max_wal_size=4GB"
        )
        run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            run(str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "mailwright", "mailwright")
            yield Server("127.0.0.1", port, "mailwright", "mailwright")
        finally:
            run(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

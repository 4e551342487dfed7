"""Starting a twin from the command line, whichever it is: on loopback alone, announced by one JSON line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from sandbox.twins.faults import App


def make_parser(vendor: str, api_key: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"A local, simulated {vendor} for trials and tests.")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file that it keeps its members in")
    parser.add_argument("--api-key", default=api_key)
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with whoever started it, even if killed")
    return parser


def _end_with_stdin() -> None:
    """A killed parent cannot end its children, but the system closes its pipes."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def serve(options: argparse.Namespace, make_app: Callable[[], App], version: str, **ready: Any) -> None:
    """Answer on the port until somebody ends this process; `version` is the path under which the API lies."""
    if options.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    options.state.parent.mkdir(parents=True, exist_ok=True)
    server = socket.create_server(("127.0.0.1", options.port))
    port = server.getsockname()[1]
    app = make_app()
    announced = {"url": f"http://127.0.0.1:{port}/{version}", **ready, "simulated": True}
    sys.stdout.write(json.dumps(announced) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", date_header=False)  # pyright: ignore[reportArgumentType]
    uvicorn.Server(config).run(sockets=[server])

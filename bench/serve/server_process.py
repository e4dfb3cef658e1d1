"""The server that is measured, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashdeploy.errors import InputError

_STOP_SECONDS = 60


@contextmanager
def server_process(bundle: Path, threads: int) -> Iterator[tuple[str, str]]:
    """Serve a bundle on free ports; yields the HTTP and the gRPC address.

    Args:
        bundle: the bundle's folder.
        threads: threads within one operator.

    Raises:
        InputError: the server did not start.
    """
    # The benchmark measures what a user runs, so it starts the program itself; that is why flags are named here.
    command = [sys.executable, "-m", "dashdeploy", "serve", str(bundle)]
    command += ["--engine", "ort-cpu", "--threads", str(threads)]
    command += ["--http-port", "0", "--grpc-port", "0", "--reload-seconds", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            addresses = [word.partition("://")[2] for word in line.split() if "://" in word]
            if len(addresses) != 2:
                raise InputError(f"the server did not start: {line.strip() or 'it printed nothing'}")
            yield addresses[0], addresses[1]
        finally:
            process.terminate()
            process.wait(timeout=_STOP_SECONDS)

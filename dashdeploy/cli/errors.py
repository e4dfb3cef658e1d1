"""How a command ends when something goes wrong: one line on stderr and the exit code that belongs to it.

The exit codes are a contract: 0 done, 1 the user's input, 2 usage (typer's own), 3 a missing capability, 4 a
failed gate; besides these 70 for a fault of ours, 130 for an interrupt, 141 when the reader closed the pipe.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from dashdeploy.cli.parameters import spelled
from dashdeploy.errors import DashdeployError

INTERNAL_ERROR = 70
INTERRUPTED = 130
BROKEN_PIPE = 141

_VERBOSE = "dashdeploy.verbose"


def remember_verbose(context: typer.Context, value: bool) -> bool:
    """Callback of every command's ``--verbose``: tracebacks are shown from here on."""
    context.meta[_VERBOSE] = value
    return value


class ErrorReportingGroup(TyperGroup):
    """The root of the command line, which turns exceptions into a line and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer does not export the type of its own context
        """Run the command that was asked for."""
        try:
            result = super().invoke(ctx)
            # A closed pipe shows itself at the flush; better here than in the interpreter's last moments.
            sys.stdout.flush()
        except (DashdeployError, MemoryError) as error:
            message = str(error) or "out of memory; use a smaller batch or a smaller model"
            _explain(ctx, spelled(message))
            raise typer.Exit(getattr(error, "exit_code", 1)) from error
        except KeyboardInterrupt as error:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # Whatever is still buffered has no reader; without this the interpreter complains as it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from error
        except Exception as error:
            if _is_typers_own(error):
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())
            _explain(ctx, f"internal error: {what}; run again with --verbose and report the traceback")
            raise typer.Exit(INTERNAL_ERROR) from error
        return result


def _is_typers_own(error: Exception) -> bool:
    """Whether typer raised `error` itself (usage errors, Exit, Abort) and knows what to do with it."""
    return isinstance(error, (typer.Exit, typer.Abort)) or hasattr(error, "show")


def _explain(context: Any, line: str) -> None:  # noqa: ANN401 - as above
    if context.meta.get(_VERBOSE):
        traceback.print_exc(file=sys.stderr)
    print(f"error: {' '.join(line.split())}", file=sys.stderr)

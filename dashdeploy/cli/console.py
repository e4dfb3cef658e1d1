"""What a command prints: progress on stderr, its one result on stdout, as text or as JSON.

Parameters that the library's lines name in backticks are spelled as options (see `parameters`).
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from typing import Any

from dashdeploy.cli.parameters import spelled


class Console:
    """Where one command writes.

    Args:
        as_json: print the result as JSON; stdout then holds nothing else.
        quiet: print no progress.
        verbose: let other packages' log messages and warnings through.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_SpellingFormatter("%(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(handlers=[handler], level=logging.INFO if verbose else logging.WARNING)
        if not verbose:
            # The packages underneath warn about their own future, which no user of this command can change.
            warnings.simplefilter("ignore")

    def progress(self, line: str) -> None:
        """Print on stderr what is being done."""
        if not self.quiet:
            print(spelled(line), file=sys.stderr, flush=True)

    def result(self, text: str, data: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
        """Print the command's result: `text` for a person, `data` for a machine."""
        print(json.dumps(data, indent=2, allow_nan=False) if self.as_json else spelled(text))


class _SpellingFormatter(logging.Formatter):
    """Spells the parameters in log messages as options, like those in any other message."""

    def format(self, record: logging.LogRecord) -> str:
        return spelled(super().format(record))

"""The ``scanlens`` command."""

from __future__ import annotations

import os
import sys

from scanlens.cli.commands import DONE, OF_A_PROJECT, REFUSED, SOME_FAILED, WRONG_USAGE, enter_project
from scanlens.cli.parser import parser
from scanlens.errors import ScanlensError, system_line

__all__ = ["DONE", "REFUSED", "SOME_FAILED", "WRONG_USAGE", "main", "parser"]


def main() -> int:
    """Entry point: 0 done, 1 refused with a reason, 2 wrong usage, 3 done but some scans failed."""
    arguments = parser().parse_args()
    try:
        if arguments.command in OF_A_PROJECT:
            enter_project(arguments)
        return int(arguments.run(arguments))
    except ScanlensError as error:
        print(f"scanlens {arguments.command}: {error}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print(f"scanlens {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if (line := system_line(error, "--batch-size")) is None:
            raise
        print(f"scanlens {arguments.command}: {line}", file=sys.stderr)
        return REFUSED

"""Apps: where the bundle lies, and what its configs call to begin."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

from multimix_monai.data.datalist import load_datalist


def default_bundle_root() -> str:
    """The folder with configs/ and models/: beside the package, around it, or where the user stands.

    In a checkout it is `bundle/` beside the package; in a self-contained bundle the package lies in its root.
    """
    beside = Path(__file__).resolve().parents[2]
    for root in (beside / "bundle", beside, Path.cwd() / "bundle"):
        if (root / "configs" / "metadata.json").is_file():
            return str(root)
    return "."


def one_line_errors() -> None:
    """From here on, an uncaught error that the user can mend ends the program as one line on stderr.

    The bundle's configs call it first: MONAI wraps each error once for every reference that led to it. The full
    trace is shown when MULTIMIX_DEBUG is set.
    """
    if not os.environ.get("MULTIMIX_DEBUG"):
        sys.excepthook = show_error


def show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """One line for a ValueError, TypeError, OSError or FloatingPointError at the root, else the trace."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    if isinstance(root, (ValueError, TypeError, OSError, FloatingPointError)):
        print(f"error: {root}", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)


__all__ = ["default_bundle_root", "load_datalist", "one_line_errors", "show_error"]

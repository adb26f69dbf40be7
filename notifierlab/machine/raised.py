"""What a task raised: whose failure it is, and how it is told, the same in every process."""

import os
import re
from pathlib import Path
from types import FrameType
from typing import Final

_HERE: Final = str(Path(__file__).parent.parent) + os.sep
# As in the repr of an object: <Thing object at 0x7f1b2c>.
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")


def is_exception(error: BaseException) -> bool:
    """Tell whether it is a failure of a run: any exception is, what only unwinds a task is not."""
    return isinstance(error, Exception)


def is_ours(error: BaseException) -> bool:
    """Tell whether it is an assertion of the bench that failed, not one of a driver or scenario."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised_here = traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_HERE)
    return isinstance(error, AssertionError) and raised_here


def in_a_line(error: BaseException) -> str:
    """Return kind and first line of the error, without addresses of objects, which no two processes share."""
    first, _, _ = str(error).partition("\n")
    return _ADDRESS.sub("", f"{type(error).__name__}: {first}")


def place(error: BaseException) -> str:
    """Return `file:line` of the innermost frame that is neither the bench's own nor trio's, nor hidden."""
    place = "?"
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = code.co_filename
        hidden = file.startswith(_HERE) or "__tracebackhide__" in code.co_varnames or is_trios(traceback.tb_frame)
        if not hidden or place == "?":
            place = f"{Path(file).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def is_trios(frame: FrameType) -> bool:
    """Tell whether code of trio runs in the frame: where somebody awaits it, they are meant, not trio."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "trio"

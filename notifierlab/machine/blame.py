"""Who is to blame for an exception, and where it was raised: the bench, or what runs on it."""

from pathlib import Path
from types import TracebackType
from typing import Final

_HERE: Final = str(Path(__file__).parent.parent)


def is_ours(error: Exception) -> bool:
    """Whether it is an assertion of the bench that failed, not one of a driver or scenario."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    raised_here = traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_HERE)
    return isinstance(error, AssertionError) and raised_here


def place_of(traceback: TracebackType | None) -> str:
    """Return `file:line` of the innermost frame that is not the bench's own."""
    place = "?"
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(_HERE) or place == "?":
            place = f"{Path(file).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place

"""A first driver: a commented file that passes the suite, and the test that says so."""

import keyword
import re
import string
from pathlib import Path
from typing import Final

from notifierlab.errors import InputError

DRIVER: Final = string.Template(
    '''\
"""$cls: a secondary MMU, to be made into yours.

Judge it by
    notifierlab driver $name.py:$cls
    pytest test_$name.py
"""

from notifierlab import (
    Abilities,
    Content,
    Mm,
    MmStruct,
    MmuNotifier,
    PAGE_SIZE,
    Range,
    shadow,
    shared,
    SharedState,
    SpinLock,
    Tlb,
    Va,
)


class $cls(SharedState, MmuNotifier):
    """What the device knows of one process's memory."""

    # What the suite cannot see from the callbacks: how many processors use the
    # translations, whether they write, whether they go on while the process exits, ...
    abilities = Abilities(contexts=1, writes=True)

    # Names the field that counts open windows, so that the count can be checked.
    counter = "windows_open"

    # What more than one task touches is declared here. These two: under the lock.
    windows_open: int = shared(0)
    seq: int = shared(0)

    def __init__(self, mm: Mm) -> None:
        super().__init__(mm.host.machine, f"$name.{mm.name}")
        self.mm = mm
        self.lock = SpinLock(self.machine, f"{self.name}.lock", "${name}_lock")
        # The translations that the device uses. Whatever is in here, it can reach.
        self.table = Tlb(self.machine, self.name, f"{self.name}.device")

    # --- the life of the driver -------------------------------------------------------

    async def open(self) -> int:
        """Register; 0, or a negative errno (a signal, no memory): then use nothing."""
        return await self.mm.register(self)

    async def close(self) -> None:
        """Unregister, once for each registration. The host calls `release` if exit has not."""
        await self.mm.unregister(self)

    # --- what the device does ---------------------------------------------------------

    async def access(self, va: Va, *, write: bool, value: int, context: int = 0) -> Content | None:
        """Read at `va`, or write `value`; None if there is no memory."""
        while True:
            content = await self.table.use(va, write=write, value=value)
            if content is not None:
                return content
            if not await self.fault(va, write=write):
                return None

    async def fault(self, va: Va, *, write: bool) -> bool:
        """Make the translation of `va`; false if there is no memory."""
        # First the sequence, then the look-up: the other way round it would hide
        # whatever was taken away in between.
        async with self.lock:
            seq = self.seq
        async with self.mm.mmap_sem.read():
            lookup = await shadow.look_up(self.name, self.mm, va, write=write)
        if lookup.page is None:
            return False
        # What was looked up may be stale by now. Ask, and install, under one lock.
        async with self.lock:
            retry = self.windows_open > 0 or self.seq != seq
            if not retry:
                self.table.put(va, lookup.page, write=write, lookup=lookup.id)
        # The look-up came with a reference to the page.
        await self.mm.host.memory.put(lookup.page, self.name)
        if retry:
            await self.machine.relax()
        return True

    # --- what the host calls: nothing here may sleep ----------------------------------

    async def invalidate_range_start(self, mm: MmStruct, range: Range) -> None:
        """Before the first page of `range` goes: drop all of it, and install nothing."""
        async with self.lock:
            self.windows_open += 1
            self.table.drop_range(range.start, range.end)

    async def invalidate_range_end(self, mm: MmStruct, range: Range) -> None:
        """They are gone: install again, but nothing that was looked up before."""
        async with self.lock:
            self.seq += 1
            self.windows_open -= 1

    async def invalidate_page(self, mm: MmStruct, address: Va) -> None:
        """One page goes as soon as this returns."""
        async with self.lock:
            self.seq += 1
            self.table.drop_range(address, Va(address + PAGE_SIZE))

    async def release(self, mm: MmStruct) -> None:
        """The process goes away: keep nothing."""
        async with self.lock:
            self.table.drop_all()
'''
)
"""The driver. It is the suite's own minimal example, `drivers/mirror.py`, told to a newcomer."""

TEST: Final = string.Template(
    '''\
"""$cls keeps what a secondary MMU owes the host."""

from $name import $cls

from notifierlab import check_driver


def test_${name}_keeps_its_obligations_in_every_order() -> None:
    findings = check_driver($cls, bound=1)

    assert findings.verdict in ("proved", "no-violation-within")
'''
)


def write_skeleton(name: str, folder: Path | None = None) -> tuple[str, str]:
    """Write `NAME.py` and `test_NAME.py`; return their names.

    Raises:
        InputError: the name is none for a module, or one of the files is there already.
    """
    name = name.removesuffix(".py")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f"`{name}` cannot be a module: take a word of small letters, digits and _, such as `mydevice`."
        )
    words = {"name": name, "cls": "".join(word.capitalize() for word in name.split("_"))}
    folder = folder or Path()
    files = {f"{name}.py": DRIVER, f"test_{name}.py": TEST}
    for file in files:
        if (folder / file).exists():
            raise InputError(f"There is a {folder / file} already, and it stays as it is. Take another name.")
    for file, template in files.items():
        (folder / file).write_text(template.substitute(words))
    first, second = files
    return first, second

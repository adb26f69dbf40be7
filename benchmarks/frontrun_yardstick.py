"""The yardstick as threads for frontrun (PyPI), which finds out by itself what they share.

Run by `exploring.py` in a process of its own, since frontrun replaces parts of `threading`. Prints one
line of JSON: how many executions frontrun made, whether it says that the property holds, whether it ended by
itself, and its CPU seconds, without those of its start.

mmap_sem is a plain lock here: readers exclude each other, which leaves frontrun fewer orders to try.
"""

import argparse
import importlib
import json
import threading
import time


class World:
    """What the threads share; `bug` as in the mutants of the scenario, a letter or empty."""

    def __init__(self, bug: str) -> None:
        self.bug = bug
        self.i_mmap = threading.Lock()
        self.mmap_sem = threading.Lock()
        self.pte_lock = threading.Lock()
        self.mmu_lock = threading.Lock()
        # Two threads cannot add to a field in one step, so references have a lock.
        self.refs_lock = threading.Lock()
        self.refs = 1
        self.registered = self.spte = self.freed = self.broken = False
        self.present = True
        self.count = self.seq = 0

    def put(self) -> None:
        """Drop a reference; the last frees the page."""
        with self.refs_lock:
            self.refs -= 1
            if not self.refs:
                self.freed = True
                self.broken = self.broken or self.spte


def registrar(world: World) -> None:
    """Register, under every lock that an invalidation could hold."""
    with world.mmap_sem:
        if world.bug in ("a", "e"):
            world.registered = True
        else:
            with world.i_mmap:
                world.registered = True


def truncate(world: World) -> None:
    """Take the page away, announced if somebody is registered."""
    with world.i_mmap:
        if world.registered:
            with world.mmu_lock:
                world.count += 1
                world.spte = False
        with world.pte_lock:
            world.present = False
        world.put()
        if world.registered:
            with world.mmu_lock:
                world.count -= 1
                world.seq += 1
                if world.count < 0 and world.bug != "e":
                    world.broken = True


def guest(world: World) -> None:
    """Map the page, if it is there and nobody is taking it away."""
    if not world.registered:
        return
    for _ in range(2):
        sampled = world.seq
        with world.mmap_sem, world.pte_lock:
            got = world.present
            if got:
                with world.refs_lock:
                    world.refs += 1
        if not got:
            return
        with world.mmu_lock:
            ok = world.bug in ("b", "d") or not world.count
            ok = ok and (world.bug in ("b", "c") or world.seq == sampled)
            if ok:
                world.spte = True
                world.broken = world.broken or world.freed
        world.put()
        if ok:
            return


def main() -> None:
    """Explore, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=1)
    parser.add_argument("--bug", choices=("", "a", "b", "c", "d", "e"), default="")
    parser.add_argument("--executions", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=60.0)
    wanted = parser.parse_args()
    frontrun = importlib.import_module("frontrun")
    began, began_clock = time.process_time(), time.monotonic()
    result = frontrun.explore(
        lambda: World(wanted.bug),
        [registrar, truncate, *[guest] * wanted.guests],
        lambda world: not world.broken,
        max_executions=wanted.executions,
        preemption_bound=None,
        total_timeout=wanted.seconds,
        reproduce_on_failure=0,
        detect_io=False,
    )
    seconds = time.process_time() - began
    in_time = time.monotonic() - began_clock < wanted.seconds
    print(
        json.dumps(
            {
                "executions": result.num_explored,
                "holds": result.property_holds,
                "ended": in_time and result.num_explored < wanted.executions,
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    main()

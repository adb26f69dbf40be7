"""Scenarios that use the bench wrongly."""

from notifierlab import Host


async def two_of_a_name(host: Host) -> None:
    """Starts two tasks of one name."""

    async def idle() -> None:
        await host.machine.step()

    host.machine.start(idle, name="idle")
    host.machine.start(idle, name="idle")


async def walks_a_set(host: Host) -> None:
    """Does things in an order that each process has its own of."""
    for name in {f"place {n}" for n in range(40)}:
        host.machine.might_sleep(name)

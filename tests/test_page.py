"""Frames are counted, freed by the last reference, and given out again at once."""

from notifierlab.events import BugHit, PageAllocated, PageFreed, PageGot, PagePut
from notifierlab.host import Host
from notifierlab.mm.page import Content, Page, ZERO
from tests.scene import play


def test_the_last_put_frees_a_page_and_the_next_alloc_gets_it_back() -> None:
    async def scene(host: Host) -> None:
        first = await host.memory.alloc("a")
        second = await host.memory.alloc("a")
        assert not await host.memory.put(await _got(host, first), "b")
        assert await host.memory.put(first, "a")
        assert await host.memory.put(second, "a")
        assert await host.memory.alloc("c") is second
        assert await host.memory.alloc("c") is first
        assert (first.gen, second.gen) == (2, 2)

    async def _got(host: Host, page: Page) -> Page:
        await host.memory.get(page, "b")
        return page

    run = play(scene)
    assert [event.pfn for event in run.of(PageAllocated)] == [1, 2, 2, 1]
    assert [(event.pfn, event.gen) for event in run.of(PageFreed)] == [(1, 1), (2, 1)]
    assert [event.refs for event in run.of(PagePut)] == [1, 0, 0]
    assert not run.of(BugHit)


def test_each_task_has_frames_of_its_own_and_keeps_what_it_frees() -> None:
    async def scene(host: Host) -> None:
        mine = await host.memory.alloc("main")

        async def other() -> None:
            page = await host.memory.alloc("other")
            assert page.pfn >> 20 == host.machine.current.index
            await host.memory.put(mine, "main")
            assert await host.memory.alloc("other") is mine

        async with host.together() as tasks:
            tasks.start(other, name="other")

    play(scene)


def test_a_frame_is_handed_out_cleared_and_forgets_whose_it_was() -> None:
    async def scene(host: Host) -> None:
        page = await host.memory.alloc("a")
        page.content = host.memory.new_content(7)
        assert page.content == Content("main", 1, 7)
        host.memory.set_page_dirty(page, "test")
        await host.memory.put(page, "a")
        assert await host.memory.alloc("b") is page
        assert page.content == ZERO
        assert not page.dirty
        assert page.mapping is None

    play(scene)


def test_a_frozen_page_looks_free_to_whoever_has_no_reference() -> None:
    async def scene(host: Host) -> None:
        page = await host.memory.alloc("cache")
        assert not await host.memory.freeze_refs(page, 2)
        await host.memory.get(page, "isolate")
        assert await host.memory.freeze_refs(page, 2)
        assert not await host.memory.get_unless_zero(page, "late")
        host.memory.unfreeze_refs(page, 2)
        assert await host.memory.get_unless_zero(page, "late")
        await host.memory.put(page, "late")
        assert await host.memory.freeze_refs(page, 2)
        await host.memory.free_frozen(page, "cache", "isolate")

    run = play(scene)
    assert run.names(PageAllocated, PageGot, PagePut, PageFreed) == [
        *("PageAllocated", "PageGot", "PageGot", "PagePut"),
        *("PagePut", "PagePut", "PageFreed"),
    ]
    assert [(event.holder, event.refs) for event in run.of(PagePut)] == [("late", 2), ("cache", 1), ("isolate", 0)]


def test_a_put_too_many_and_a_mapped_page_freed_are_bugs_and_the_run_goes_on() -> None:
    async def scene(host: Host) -> None:
        page = await host.memory.alloc("a")
        page.mapcount = 1
        await host.memory.put(page, "a")
        await host.memory.put(page, "a")
        await host.memory.get(page, "a")

    run = play(scene)
    assert [event.where for event in run.of(BugHit)] == ["free_pages_check", "put_page", "get_page"]


def test_the_zero_page_is_never_freed() -> None:
    async def scene(host: Host) -> None:
        zero = host.memory.zero_page
        await host.memory.get(zero, "gup")
        assert not await host.memory.put(zero, "gup")
        assert zero.content == ZERO

    assert not play(scene).of(PageFreed)

"""Reclaim frees what nobody used and nobody holds, and loses nobody's data."""

from notifierlab.events import BugHit, DirtyTested, PageFreed, PageNotifyDone, PagePut, PteCleared
from notifierlab.host import Host
from notifierlab.mm.filemap import find_get_page, write_one_page
from notifierlab.mm.page import Content
from notifierlab.mm.reclaim import shrink_page
from notifierlab.mm.swap import free_swap_and_cache, lookup_swap_cache, read_swap_cache_async
from notifierlab.mm.unmap import unmap_all
from notifierlab.mm.vma import MmStruct, Vma
from tests.scene import fault_anon, fault_file, listen, new_vma, play, va


def _age(vma: Vma, page: int = 0) -> None:
    pte = vma.mm.page_table.peek(va(page))
    assert pte is not None
    pte.young = False


def test_an_anonymous_page_goes_to_swap_and_its_content_comes_back() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0), value=42)
        _age(vma)
        assert await shrink_page(host, page)
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.swap is not None
        again = await read_swap_cache_async(host, pte.swap, "mm0")
        assert again is not None
        assert again.content == Content("mm0", 1, 42)

    run = play(scene)
    assert not run.of(BugHit)
    assert [(event.holder, event.refs) for event in run.of(PagePut)][:3] == [
        ("mm0", 2),
        ("swap-cache", 1),
        ("isolate", 0),
    ]
    assert [event.where for event in run.of(DirtyTested)] == ["shrink_page_list", "pageout", "remove_mapping"]
    assert run.names(PteCleared, PageNotifyDone, DirtyTested, PageFreed)[:3] == [
        *("PteCleared", "PageNotifyDone", "DirtyTested")
    ]


def test_a_used_page_is_kept_and_only_loses_its_accessed_bit() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        assert not await shrink_page(host, page)
        assert (page.refs, page.mapcount, page.swap_slot) == (1, 1, None)
        assert await shrink_page(host, page)

    play(scene)


def test_a_page_kept_only_because_a_device_used_it() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        listener = await listen(mm, young=True)
        assert not await shrink_page(host, page)
        listener.young = False
        assert await shrink_page(host, page)
        assert listener.heard == [f"young {va(0):#x}"] * 3 + [f"page {va(0):#x}"]

    play(scene)


def test_an_extra_reference_makes_the_freeze_fail_and_the_page_is_not_freed() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        await host.memory.get(page, "gup")
        assert not await shrink_page(host, page)
        assert page.mapcount == 0
        pte = mm.page_table.peek(va(0))
        assert pte is not None
        assert pte.swap is not None
        # A new fault finds the very page in the swap cache.
        assert await lookup_swap_cache(host, pte.swap, "mm0") is page

    assert not play(scene).of(PageFreed)


def test_two_reclaimers_never_hold_the_same_page() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        page.isolated = True
        assert not await shrink_page(host, page)
        page.isolated = False
        assert await shrink_page(host, page)
        assert not await shrink_page(host, page)

    assert len(play(scene).of(PageFreed)) == 1


def test_a_dirty_file_page_is_written_before_it_goes() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(4)
        vma = new_vma(MmStruct(host, "mm0"), 4, file=file, shared=True)
        page = await fault_file(vma, va(3), write=True)
        assert page is not None
        page.content = Content("mm0", 1, 5)
        _age(vma, 3)
        assert await shrink_page(host, page)
        assert file.pages == {}
        assert file.on_disk(3) == Content("mm0", 1, 5)
        again = await fault_file(vma, va(3))
        assert again is not None
        assert again.content == Content("mm0", 1, 5)

    assert not play(scene).of(BugHit)


def test_a_page_that_was_truncated_meanwhile_is_put_back_and_dies() -> None:
    async def scene(host: Host) -> None:
        page = await host.memory.alloc("mm0")
        assert not await shrink_page(host, page)
        assert page.refs == 1
        assert not await shrink_page(host, host.memory.zero_page)

    play(scene)


def test_writeback_takes_the_dirt_of_every_pte() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(4)
        vma = new_vma(MmStruct(host, "mm0"), 4, file=file, shared=True)
        page = await fault_file(vma, va(1), write=True)
        assert page is not None
        page.content = Content("mm0", 1, 9)
        assert await write_one_page(file, 1)
        assert file.on_disk(1) == Content("mm0", 1, 9)
        assert not page.dirty
        assert not await write_one_page(file, 1)
        assert not await write_one_page(file, 2)

    play(scene)


def test_unmapping_the_last_user_of_a_swapped_page_frees_page_and_slot() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        vma = new_vma(mm, 2)
        kept = await fault_anon(vma, va(0))
        gone = await fault_anon(vma, va(1))
        _age(vma, 0)
        _age(vma, 1)
        await host.memory.get(kept, "gup")
        assert not await shrink_page(host, kept)
        assert await shrink_page(host, gone)
        await host.memory.put(kept, "gup")
        assert len(host.swap.slots) == 2
        await unmap_all(mm)
        assert host.swap.slots == {}

    run = play(scene)
    assert sorted(event.pfn for event in run.of(PageFreed)) == [1, 2]
    assert not run.of(BugHit)


def test_a_slot_that_another_mm_needs_stays() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 1)
        page = await fault_anon(vma, va(0))
        _age(vma)
        assert await shrink_page(host, page)
        (slot,) = host.swap.slots
        host.swap.slots[slot].count += 1
        await free_swap_and_cache(host, slot)
        assert host.swap.slots[slot].count == 1
        await free_swap_and_cache(host, slot)
        assert host.swap.slots == {}
        await free_swap_and_cache(host, slot)

    assert [event.where for event in play(scene).of(BugHit)] == ["swap_free"]


def test_a_page_found_in_the_cache_without_a_lock_is_never_one_that_is_leaving() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(1)
        vma = new_vma(MmStruct(host, "mm0"), 1, file=file, shared=True)
        page = await fault_file(vma, va(0))
        assert page is not None
        found = []

        async def look() -> None:
            found.append(await find_get_page(file, 0, "look"))

        assert await host.memory.get_unless_zero(page, "isolate")
        await host.memory.put(page, "mm0")
        assert await host.memory.freeze_refs(page, 2)
        async with host.together() as tasks:
            tasks.start(look, name="look")
            await host.machine.step()
            del file.pages[0]
        assert found == [None]
        page.mapcount = 0
        await host.memory.free_frozen(page, "cache", "isolate")

    play(scene)

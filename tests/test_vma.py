"""Vmas, mappings and page tables say where things are, and emit what they change."""

from notifierlab.events import HeadRead, PteCleared, PteDowngraded, PteSet, PteUpgraded, Va
from notifierlab.host import Host
from notifierlab.mm.vma import AnonVma, MmStruct
from tests.scene import new_vma, play, va


def test_a_vma_knows_index_by_address_and_address_by_index() -> None:
    async def scene(host: Host) -> None:
        vma = new_vma(MmStruct(host, "mm0"), 4, file=host.new_file(20), pgoff=10)
        assert vma.pages == 4
        assert vma.linear_page_index(va(2)) == 12
        assert vma.address_of(12) == va(2)
        assert vma.address_of(9) is None
        assert vma.address_of(14) is None
        assert vma.contains(va(3))
        assert not vma.contains(va(4))

    play(scene)


def test_i_mmap_finds_every_vma_that_maps_a_part_of_the_range_in_order() -> None:
    async def scene(host: Host) -> None:
        file = host.new_file(20)
        mm = MmStruct(host, "mm0")
        late = new_vma(mm, 4, at=0, file=file, pgoff=8)
        early = new_vma(mm, 4, at=10, file=file, pgoff=0)
        both = new_vma(mm, 20, at=20, file=file, pgoff=0)
        assert list(file.i_mmap()) == [early, both, late]
        assert list(file.i_mmap(4, 7)) == [both]
        assert list(file.i_mmap(11, 11)) == [both, late]
        assert list(file.i_mmap(3, 3)) == [early, both]
        file.i_mmap_remove(both)
        assert list(file.i_mmap(4, 7)) == []

    play(scene)


def test_every_look_at_an_anon_vmas_list_is_told_with_its_tag() -> None:
    async def scene(host: Host) -> None:
        anon_vma = AnonVma(host, "anon")
        async with anon_vma.lock:
            assert anon_vma.is_empty()
            anon_vma.add_tail(new_vma(MmStruct(host, "mm0"), 1))
            anon_vma.tagged = True
            assert len(anon_vma.vmas()) == 1

    assert [event.tagged for event in play(scene).of(HeadRead)] == [False, True]


def test_a_pte_is_set_changed_and_cleared_with_the_window_it_was_done_under() -> None:
    async def scene(host: Host) -> None:
        mm = MmStruct(host, "mm0")
        page = await host.memory.alloc("mm0")
        async with mm.page_table.ptl(va(0)):
            pte = await mm.page_table.set(va(0), page, False)
            assert pte.young
            await mm.page_table.upgrade(va(0))
            assert pte.dirty
            await mm.page_table.downgrade(va(0), "win0.1", "window")
            assert not pte.write
            assert await mm.page_table.test_and_clear_young(va(0))
            assert not await mm.page_table.test_and_clear_young(va(0))
            assert (await mm.page_table.clear(va(0), "", "page")).page is page
            await mm.page_table.set_swap(va(0), 5)
            assert list(mm.page_table.present()) == []
            assert await mm.page_table.clear_swap(va(0)) == 5
        assert await mm.page_table.read(va(0)) is None

    run = play(scene)
    assert run.names(PteSet, PteUpgraded, PteDowngraded, PteCleared) == [
        *("PteSet", "PteUpgraded", "PteDowngraded", "PteCleared")
    ]
    assert (run.of(PteDowngraded)[0].win, run.of(PteDowngraded)[0].notify) == ("win0.1", "window")
    assert (run.of(PteCleared)[0].ptl, run.of(PteCleared)[0].notify) == ("mm0.ptl0", "page")


def test_a_pte_lock_covers_two_mebibytes() -> None:
    async def scene(host: Host) -> None:
        table = MmStruct(host, "mm0").page_table
        assert table.ptl(Va(0)) is table.ptl(Va((1 << 21) - 1))
        assert table.ptl(Va(0)) is not table.ptl(Va(1 << 21))

    play(scene)

"""Profiles are named sets of switches; a wrong name or value gets a sentence."""

import pydantic
import pytest

from notifierlab.errors import InputError
from notifierlab.mm.profile import HOLES, PRESETS, Profile, profile, SWITCHES, with_switches


def test_the_intended_kernel_has_no_hole() -> None:
    switches = PRESETS["intended"].switches()
    assert not any(switches[hole] for hole in HOLES)


def test_founding_differs_from_intended_in_the_lock_order_alone() -> None:
    founding, intended = PRESETS["founding"].switches(), PRESETS["intended"].switches()
    assert {switch for switch in SWITCHES if founding[switch] != intended[switch]} == {"single_pass_take_all"}


def test_what_shipped_in_2_6_27_pins_and_has_no_release() -> None:
    shipped = profile("v2_6_27")
    assert shipped.kvm_pinned_sptes
    assert shipped.kvm_no_release
    assert not shipped.single_pass_take_all
    assert not profile("v2.6.32").kvm_pinned_sptes


def test_every_hole_is_a_switch_that_is_off_by_default() -> None:
    assert set(HOLES) <= set(SWITCHES)
    assert all(Profile.model_fields[hole].default is False for hole in HOLES)
    assert all(hole.rules and hole.sentence.endswith(".") for hole in HOLES.values())


def test_every_switch_says_what_it_does() -> None:
    assert all(Profile.model_fields[switch].description for switch in SWITCHES)


def test_a_preset_is_called_by_its_name() -> None:
    assert all(preset.name == name for name, preset in PRESETS.items())


def test_an_unknown_profile_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"no profile `v2_6_28`.*Did you mean `v2_6_\d\d`"):
        profile("v2_6_28")


def test_switches_are_set_by_kebab_case_names_and_text() -> None:
    changed = with_switches(PRESETS["intended"], {"batch-pages": "2", "smp": "off", "unlink_before_release": True})
    assert (changed.batch_pages, changed.smp, changed.unlink_before_release) == (2, False, True)
    assert changed.name == "intended"
    assert with_switches(PRESETS["intended"], changed.switches()) == changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch-pagse": 2}, r"no switch `batch-pagse`\. Did you mean `batch-pages`"),
        ({"smp": "maybe"}, r"`smp` is on or off; `maybe` is neither"),
        ({"batch-pages": "many"}, r"`batch-pages` is a whole number of at least 1; `many` is none"),
        ({"batch-pages": 0}, r"`0` is none"),
        ({"batch-pages": True}, r"`True` is none"),
    ],
)
def test_a_wrong_switch_gets_a_sentence(changes: dict[str, bool | int | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_switches(PRESETS["intended"], changes)


def test_a_profile_does_not_change() -> None:
    with pytest.raises(pydantic.ValidationError):
        PRESETS["intended"].smp = False  # type: ignore[misc]  # that is the point


def test_the_zap_block_follows_preemption() -> None:
    assert Profile().zap_block_pages == 8
    assert Profile(preemptible=False).zap_block_pages == 1024

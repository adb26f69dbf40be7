"""Tests that cannot be run as they are written: each gets one sentence, by name."""

import pytest

# Imported here, they are the same modules in every session below.
import drivers.broken  # noqa: F401
import notifierlab.pytest_plugin.trial  # noqa: F401

pytest_plugins = ["pytester"]


def refused(pytester: pytest.Pytester, text: str, *sentences: str) -> None:
    """One test is refused, with these words, and without a traceback."""
    pytester.makepyfile(test_it=f"import pytest\n{text}")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{sentence}*" for sentence in sentences])
    assert "Traceback" not in str(result.stdout)
    assert "pytest_plugin" not in str(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("strategy='bunded'", "There is no strategy `bunded`. Did you mean `bounded`?"),
        ("bond=2", "There is no argument of the marker `interleave` called `bond`. Did you mean `bound`?"),
        ("bound=-1", "The marker `interleave` has bound=-1, which cannot be: it should be greater than or equal to 0."),
        ("bound='two'", "The marker `interleave` has bound='two', which cannot be: it should be a whole number."),
        ("bound=True", "The marker `interleave` has bound=True, which cannot be: it should be a whole number."),
        ("runs=0", "The marker `interleave` has runs=0, which cannot be: it should be greater than or equal to 1."),
        ("rules=7", "The marker `interleave` has rules=7, which cannot be: it should be a name, or a list of names."),
        ("rules='stale-lookop'", "There is no rule `stale-lookop`. Did you mean `stale-lookup`?"),
        ("profile='v2_6_72'", "There is no profile `v2_6_72`. Did you mean `v2_6_32`?"),
        ("mutants=['kvm-forgets-cound']", "There is no mutant `kvm-forgets-cound`. Did you mean `kvm-forgets-count`?"),
        ("switches={'no_such': 1}", "`no_such`"),
        ("driver='kvn'", "There is no driver `kvn`."),
        ("driver=7", "it should be a driver is a class, or a name as --driver takes it."),
        ("'bounded'", "The marker `interleave` takes its arguments by name (strategy=..., bound=...)."),
    ],
)
def test_arguments_of_the_marker(pytester: pytest.Pytester, arguments: str, sentence: str) -> None:
    refused(
        pytester,
        f"@pytest.mark.interleave({arguments})\nasync def test_x(host):\n    pass\n",
        f"`test_x`: *{sentence}",
    )


def test_a_driver_and_a_mutant_for_the_same_place(pytester: pytest.Pytester) -> None:
    refused(
        pytester,
        "from drivers.kvm import KvmMmu\n\nclass Mine(KvmMmu):\n    pass\n\n"
        "@pytest.mark.interleave(driver=Mine, mutants='kvm-forgets-count')\nasync def test_x(host):\n    pass\n",
        "`test_x`: the driver Mine and --mutant kvm-forgets-count both take the place of the driver `kvm`: drop one.",
    )


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        ("def test_x(host):\n    pass", "`test_x` has the marker `interleave`, so it must be an `async def`"),
        ("def test_x(host):\n    yield", None),
        (
            "async def test_x(host):\n    yield",
            "`test_x` is a generator: a test with the marker `interleave` is a plain",
        ),
        (
            "async def test_x():\n    pass",
            "`test_x` uses none of `host`, `mm`, `kvm` or `gru`, so nothing in it has an",
        ),
        ("async def test_x(request):\n    pass", "`test_x` uses none of"),
    ],
)
def test_functions_with_the_marker(pytester: pytest.Pytester, test: str, sentence: str | None) -> None:
    text = f"@pytest.mark.interleave\n{test}\n"
    if sentence is not None:
        refused(pytester, text, sentence)
        return
    # A sync generator is refused by pytest itself.
    pytester.makepyfile(test_it=f"import pytest\n{text}")
    assert pytester.runpytest_inprocess().ret != pytest.ExitCode.OK


def test_a_sync_test_with_a_fixture_of_ours(pytester: pytest.Pytester) -> None:
    refused(pytester, "def test_x(kvm):\n    pass\n", "`test_x` has the fixture `kvm`, so it must be an `async def`")


def test_properties_of_hypothesis(pytester: pytest.Pytester) -> None:
    refused(
        pytester,
        "from hypothesis import given, strategies as st\n\n@pytest.mark.interleave\n@given(n=st.integers())\n"
        "async def test_x(host, n):\n    pass\n",
        "`test_x` has the marker `interleave` and is a property of hypothesis: an example is no run.",
    )


def test_a_sync_test_that_gets_host_by_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_x(request):\n    request.getfixturevalue('host')\n")
    result = pytester.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*`test_x` gets the fixture `host` by its name only; let it be a parameter."])


def test_methods_of_unittest(pytester: pytest.Pytester) -> None:
    refused(
        pytester,
        "import unittest\n\nclass TestX(unittest.TestCase):\n"
        "    @pytest.mark.interleave\n    def test_x(self):\n        pass\n",
        "`test_x` is no plain pytest test (a method of unittest.TestCase?): the marker `interleave` is for *",
    )


@pytest.mark.parametrize("name", ["tmp_path", "monkeypatch", "capsys", "autojump_clock", "mine"])
def test_function_scoped_fixtures_are_refused_by_name(pytester: pytest.Pytester, name: str) -> None:
    refused(
        pytester,
        "@pytest.fixture\ndef mine():\n    pass\n\n"
        f"@pytest.mark.interleave\nasync def test_x(host, {name}):\n    pass\n",
        f"`test_x` runs in many orders and cannot use the fixture `{name}`: pytest makes it once for all of them",
    )


def test_through_another_fixture(pytester: pytest.Pytester) -> None:
    refused(
        pytester,
        "@pytest.fixture\ndef made(mm, tmp_path):\n    pass\n\n"
        "@pytest.mark.interleave\nasync def test_x(made):\n    pass\n",
        "cannot use the fixture `tmp_path` (asked for by `made`): ",
    )


def test_by_usefixtures(pytester: pytest.Pytester) -> None:
    refused(
        pytester,
        "@pytest.mark.usefixtures('tmp_path')\n@pytest.mark.interleave\nasync def test_x(host):\n    pass\n",
        "cannot use the fixture `tmp_path`: ",
    )


@pytest.mark.parametrize("name", ["nursery", "mine", "yielding"])
def test_async_fixtures_of_others_are_refused_by_name(pytester: pytest.Pytester, name: str) -> None:
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    refused(
        pytester,
        "@pytest.fixture\nasync def mine():\n    pass\n\n@pytest.fixture\nasync def yielding():\n    yield\n\n"
        f"@pytest.mark.interleave\nasync def test_x(host, {name}):\n    pass\n",
        f"cannot use the fixture `{name}`: it is asynchronous and not made from `host`",
    )


def test_a_fixture_made_from_host_and_from_an_event_loop(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    refused(
        pytester,
        "@pytest.fixture\nasync def both(mm, nursery):\n    pass\n\nasync def test_x(both):\n    pass\n",
        "the fixture `both` is made from `host` and from `nursery` of pytest-trio; no fixture can be both.",
    )


def test_a_wider_fixture_cannot_be_made_from_host(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n\n@pytest.fixture(scope='module')\ndef wide(host):\n    pass\n\n"
        "@pytest.mark.interleave\nasync def test_x(wide):\n    pass\n"
    )
    result = pytester.runpytest_inprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["ScopeMismatch: You tried to access the function scoped fixture host *"])


def failed(pytester: pytest.Pytester, text: str, *sentences: str) -> pytest.RunResult:
    """One test fails while it runs, with these words."""
    pytester.makepyfile(test_it=f"import pytest\n{text}")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{sentence}*" for sentence in sentences])
    assert "/notifierlab/" not in str(result.stdout), "no frame of the bench"
    return result


def test_a_fixture_asked_for_while_the_test_runs(pytester: pytest.Pytester) -> None:
    failed(
        pytester,
        "@pytest.mark.interleave\nasync def test_x(host, request):\n    request.getfixturevalue('tmp_path')\n",
        "`test_x` asks for the fixture `tmp_path` while it runs; let it be a parameter.",
    )


@pytest.mark.parametrize("body", ["yield 1\n    yield 2", "if False:\n        yield"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_fixture_that_yields_more_or_less_than_once(pytester: pytest.Pytester, kind: str, body: str) -> None:
    failed(
        pytester,
        f"@pytest.fixture\n{kind} odd(mm):\n    {body}\n\n@pytest.mark.interleave\nasync def test_x(odd):\n    pass\n",
        "a fixture yields its value, once, and tidies up after that",
    )


@pytest.mark.parametrize("wait", ["trio.sleep(1)", "trio.Event().wait()"])
def test_a_test_in_every_order_that_waits_for_trio(pytester: pytest.Pytester, wait: str) -> None:
    failed(
        pytester,
        f"import trio\n\n@pytest.mark.interleave\nasync def test_x(host):\n    await {wait}\n",
        f">*await {wait}",
        "E*LabError: `test_x` runs in every order, and waits for trio itself (a timer, a socket)",
        "E*In pytest: without the marker `interleave` a test runs once, on trio.",
    )


@pytest.mark.parametrize("wait", ["trio.sleep(0)", "trio.lowlevel.checkpoint()"])
def test_a_test_in_every_order_that_only_gives_way_to_trio(pytester: pytest.Pytester, wait: str) -> None:
    failed(
        pytester,
        f"import trio\n\n@pytest.mark.interleave\nasync def test_x(host):\n    await {wait}\n",
        "task 'main' waits for something outside the machine at test_it.py:*",
        "In pytest: without the marker `interleave` a test runs once, on trio.",
    )


def test_a_test_in_every_order_that_waits_for_another_loop(pytester: pytest.Pytester) -> None:
    failed(
        pytester,
        "import types\n\n@types.coroutine\ndef trap():\n    yield 'something'\n\n"
        "@pytest.mark.interleave\nasync def test_x(host):\n    await trap()\n",
        "*task 'main' waits for something outside the machine at test_it.py:*",
        "*In pytest: without the marker `interleave` a test runs once, on trio.",
    )


def test_wrong_use_of_the_bench_is_shown_where_it_is(pytester: pytest.Pytester) -> None:
    failed(
        pytester,
        "@pytest.mark.interleave\nasync def test_x(host):\n    host.driver('nothing')\n",
        ">*host.driver('nothing')",
        "E*LabError: no driver of kind 'nothing' is installed (known: *gru, *",
    )


@pytest.mark.parametrize(
    ("option", "value"), [("--interleave-bound", "-1"), ("--interleave-runs", "0"), ("--interleave-bound", "two")]
)
def test_options_that_cannot_be(pytester: pytest.Pytester, option: str, value: str) -> None:
    result = pytester.runpytest_inprocess(f"{option}={value}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*argument {option}: invalid whole number from [01] on value: '{value}'"])

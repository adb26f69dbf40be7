"""Faulty variants of a driver, made from its own source: one small mistake in each.

The mistakes are those that people make in drivers: a statement left out, two in the wrong
order, something done before the lock or after it, no lock at all, a comparison that is
nearly right, an error that nobody looks at. Text is spliced where the syntax tree says,
so a variant differs from the driver in the lines of its mistake alone.

Not made, since no run could tell the difference:
    order of two statements that take no step and do not depend on each other, or of which one
    does nothing but bind a constant
    statements that only report (`emit`, `bug`), or tell the bench what they touch (`touch`),
    assertions, docstrings, what `__init__` sets up
    code of another profile: behind a switch that is off where the driver is judged, also by a call
    variants that cannot run: a name used before it is bound
"""

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from notifierlab.conformance.abilities import CALLBACKS
from notifierlab.conformance.syntax import (
    aliases,
    binds_names,
    bound,
    functions,
    methods,
    read,
    read_elsewhere,
    steps,
    switch_read,
)

_ANSWERS: Final = {"clear_flush_young": "return False"}
"""What a callback that is ignored answers, where that is not nothing."""

_REPORTS: Final = ("emit", "bug", "touch")
"""Methods of a machine that only tell of what happens."""

_SIMPLE: Final = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Raise, ast.Break, ast.Continue)
_OTHER: Final[Mapping[type[ast.cmpop], tuple[str, ...]]] = {
    ast.Gt: (">=", "<"),
    ast.GtE: (">",),
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<",),
    ast.Eq: ("!=",),
    ast.NotEq: (">", "=="),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}


class Variant(NamedTuple):
    """One faulty variant: what was done, where (`Class.method`), at which line, and the whole text."""

    what: str
    where: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """What stands for a file's name where Python names the variant's."""
        return f"<{self.what}: {self.where}, line {self.line}>"

    def diff(self, original: str, file: str) -> str:
        """What it changes, as a patch."""
        return "".join(
            difflib.unified_diff(
                original.splitlines(keepends=True),
                self.text.splitlines(keepends=True),
                file,
                f"{file} ({self.what})",
                n=2,
            )
        )


class _Edit(NamedTuple):
    """Replace the text of `[begin, end)`, in characters."""

    begin: int
    end: int
    text: str


Mistake = tuple[str, ast.stmt | ast.expr, Sequence[_Edit]]
"""What is done wrong, where, and how the text changes."""


def variants(text: str, switches: Mapping[str, bool | int]) -> list[Variant]:
    """Every faulty variant of a driver's file, in the order of its lines.

    Args:
        text: the file.
        switches: the profile in which the driver is judged.
    """
    tree = ast.parse(text)
    original = ast.dump(tree)
    maker = _Maker(text, tree, switches)
    found: dict[str, Variant] = {}
    for where, function in functions(tree):
        if maker.is_called_in_vain(function):
            continue
        for what, node, edits in maker.mistakes(function):
            changed = _spliced(text, edits)
            if changed not in found and _differs(changed, original):
                found[changed] = Variant(what, where, node.lineno, changed)
    return sorted(found.values(), key=lambda each: each.line)


def _spliced(text: str, edits: Sequence[_Edit]) -> str:
    for edit in sorted(edits, reverse=True):
        text = text[: edit.begin] + edit.text + text[edit.end :]
    return text


def _differs(changed: str, original: str) -> bool:
    try:
        return ast.dump(ast.parse(changed)) != original
    except SyntaxError:
        return False


class _Maker:
    """Finds the mistakes that can be made in one file."""

    def __init__(self, text: str, tree: ast.Module, switches: Mapping[str, bool | int]) -> None:
        self._text = text
        self._switches = switches
        self._names = aliases(tree)
        self._methods = methods(tree)
        self._named = {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
        self._alive = set(self._named_alive(tree))
        # Where each line begins, in characters; the tree counts columns in bytes.
        self._lines = text.splitlines(keepends=True)
        self._begins = [0]
        for line in self._lines:
            self._begins.append(self._begins[-1] + len(line))

    def mistakes(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Mistake]:
        """Every mistake in one function."""
        body = _body(function)
        if not body:
            return
        if function.name in CALLBACKS and not (len(body) == 1 and isinstance(body[0], ast.Return)):
            yield (
                "ignores the callback",
                function,
                [self._put(body[0], body[-1], _ANSWERS.get(function.name, "return"))],
            )
        yield from self._in_block(body, function)

    # --- statements -----------------------------------------------------------------

    def _in_block(self, block: list[ast.stmt], function: ast.AST) -> Iterator[Mistake]:
        body = [statement for statement in block if not self._is_dead(statement)]
        for n, statement in enumerate(body):
            if self._reports(statement):
                continue
            yield from self._left_out(statement, function)
            if n + 1 < len(body):
                yield from self._swapped(statement, body[n + 1])
            yield from self._in_statement(statement, function)

    def _in_statement(self, statement: ast.stmt, function: ast.AST) -> Iterator[Mistake]:
        if isinstance(statement, ast.If):
            known = self._known(statement.test)
            if known is None:
                yield from self._condition(statement.test)
                yield "ignores the case", statement.test, [self._put(statement.test, statement.test, "False")]
            if known is not False:
                yield from self._in_block(statement.body, function)
            if known is not True:
                yield from self._in_block(statement.orelse, function)
            return
        if isinstance(statement, ast.AsyncWith | ast.With):
            yield from self._locks(statement)
            yield from self._in_block(statement.body, function)
            return
        if isinstance(statement, ast.While):
            yield from self._condition(statement.test)
        for block in ("body", "orelse", "finalbody"):
            yield from self._in_block(getattr(statement, block, []), function)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        for expression in ast.iter_child_nodes(statement):
            if isinstance(expression, ast.expr) and not isinstance(statement, ast.While):
                yield from self._in_expression(expression)

    def _left_out(self, statement: ast.stmt, function: ast.AST) -> Iterator[Mistake]:
        if _is_all_of_a_callback(statement, function):
            # The callback is ignored: that is made already.
            return
        if isinstance(statement, _SIMPLE) and not (bound(statement) & read_elsewhere(function, statement)):
            yield "leaves it out", statement, [self._put(statement, statement, "pass")]

    def _swapped(self, first: ast.stmt, second: ast.stmt) -> Iterator[Mistake]:
        if isinstance(first, ast.Return | ast.Raise) or isinstance(second, ast.Return | ast.Raise):
            return
        if self._reports(second) or bound(first) & read(second) or bound(second) & read(first):
            return
        if self._binds_constant(first) or self._binds_constant(second) or not self._depend(first, second):
            return
        yield (
            "swaps two",
            first,
            [
                self._put(first, first, self._source(second, second)),
                self._put(second, second, self._source(first, first)),
            ],
        )

    def _locks(self, block: ast.AsyncWith | ast.With) -> Iterator[Mistake]:
        items = block.items
        head = self._span(items[0].context_expr, items[-1].context_expr)
        begin = self._span(block, block)[0]
        if len(items) == 1:
            yield "takes no lock", block, [_Edit(begin, head[1], "if True")]
        for n, item in enumerate(items if len(items) > 1 else []):
            rest = ", ".join(
                self._source(other.context_expr, other.context_expr) for m, other in enumerate(items) if m != n
            )
            yield "takes one lock less", item.context_expr, [_Edit(*head, rest)]
        body = [statement for statement in block.body if not self._is_dead(statement)] or block.body
        first, last = body[0], body[-1]
        indent = " " * block.col_offset
        if not isinstance(last, ast.Return | ast.Raise) and not self._reports(last):
            moved = self._moved(last, len(indent))
            yield "does it after the lock", last, [_Edit(*self._span(last, last), "pass\n" + indent + moved)]
        if first is not last and not isinstance(first, ast.Return | ast.Raise) and not self._reports(first):
            moved = self._moved(first, len(indent))
            yield (
                "does it before the lock",
                first,
                [
                    _Edit(begin, begin, moved + "\n" + indent),
                    self._put(first, first, "pass"),
                ],
            )

    def _moved(self, statement: ast.stmt, column: int) -> str:
        """The statement's text, indented for another column."""
        lines = self._source(statement, statement).split("\n")
        less = statement.col_offset - column
        return "\n".join([lines[0], *(line[less:] if line[:less].isspace() else line for line in lines[1:])])

    # --- expressions ----------------------------------------------------------------

    def _condition(self, test: ast.expr) -> Iterator[Mistake]:
        yield "takes the opposite", test, [self._put(test, test, f"not ({self._source(test, test)})")]
        yield from self._in_expression(test)

    def _in_expression(self, expression: ast.expr) -> Iterator[Mistake]:
        if isinstance(expression, ast.Constant):
            yield from self._constant(expression)
        if self._known(expression) is not None or isinstance(expression, ast.Lambda | ast.JoinedStr):
            return
        if isinstance(expression, ast.Compare):
            yield from self._comparison(expression)
        elif isinstance(expression, ast.BoolOp):
            yield from self._connection(expression)
        elif isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.Not):
            operand = expression.operand
            yield "takes the opposite", expression, [self._put(expression, expression, self._source(operand, operand))]
        elif isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add | ast.Sub):
            left = expression.left
            yield "is one short", expression, [self._put(expression, expression, self._source(left, left))]
        for child in ast.iter_child_nodes(expression):
            inner = child.value if isinstance(child, ast.keyword) else child
            if isinstance(inner, ast.expr):
                yield from self._in_expression(inner)

    def _comparison(self, compare: ast.Compare) -> Iterator[Mistake]:
        if len(compare.ops) == 1:
            left, right = self._source(compare.left, compare.left), compare.comparators[0]
            for sign in _OTHER.get(type(compare.ops[0]), ()):
                text = f"{left} {sign} {self._source(right, right)}"
                yield f"compares by {sign}", compare, [self._put(compare, compare, text)]

    def _connection(self, connection: ast.BoolOp) -> Iterator[Mistake]:
        same, other = ("and", "or") if isinstance(connection.op, ast.And) else ("or", "and")
        parts = [self._source(each, each) for each in connection.values]
        # What the profile decides is no part of the question here.
        open_parts = [n for n, each in enumerate(connection.values) if self._known(each) is None]
        if len(open_parts) > 1:
            text = f" {other} ".join(f"({part})" for part in parts)
            yield f"says {other}", connection, [self._put(connection, connection, text)]
        for n in open_parts:
            rest = f" {same} ".join(part for m, part in enumerate(parts) if m != n)
            yield "forgets one condition", connection, [self._put(connection, connection, rest)]

    def _constant(self, constant: ast.Constant) -> Iterator[Mistake]:
        if isinstance(constant.value, bool):
            yield "says the opposite", constant, [self._put(constant, constant, str(not constant.value))]
        elif constant.value == 1:
            yield "counts nothing", constant, [self._put(constant, constant, "0")]

    # --- what is known, and where it stands -----------------------------------------

    def _known(self, node: ast.expr) -> bool | None:
        """What a condition comes to in the profile, as far as switches decide it."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._known(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            values = [self._known(each) for each in node.values]
            decides = isinstance(node.op, ast.Or)
            if decides in values:
                return decides
            return None if None in values else not decides
        switch = switch_read(node)
        if not switch and isinstance(node, ast.Attribute):
            switch = self._names.get(node.attr, "")
        return bool(self._switches[switch]) if switch in self._switches else None

    def _reports(self, statement: ast.stmt) -> bool:
        """Whether a statement does nothing but report: an event, a BUG_ON, a call of what only reports."""
        if isinstance(statement, ast.Assert):
            return True
        if isinstance(statement, ast.If) and not statement.orelse:
            return all(map(self._reports, statement.body))
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Constant):
            return True
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return False
        called = self._methods.get(call.func.attr)
        return call.func.attr in _REPORTS or (called is not None and all(map(self._only_reports, called.body)))

    def _only_reports(self, statement: ast.stmt) -> bool:
        """Whether a statement of a method leaves nothing behind but reports; it may give something a shorter name."""
        named = statement.value if isinstance(statement, ast.Assign) and binds_names(statement) else None
        while isinstance(named, ast.Attribute):
            named = named.value
        return isinstance(named, ast.Name) or self._reports(statement)

    def _is_dead(self, statement: ast.stmt) -> bool:
        """Whether the profile never lets a statement do anything."""
        return isinstance(statement, ast.If) and not statement.orelse and self._known(statement.test) is False

    def _binds_constant(self, statement: ast.stmt) -> bool:
        """Whether all that a statement does is to give a local name a value that nobody can change."""
        if not isinstance(statement, ast.Assign) or not binds_names(statement):
            return False
        return isinstance(statement.value, ast.Constant) or self._known(statement.value) is not None

    def is_called_in_vain(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        """Whether a method is called in this file, and by nothing but code of another profile."""
        return function.name in self._named and function.name not in self._alive

    def _named_alive(self, node: ast.AST) -> Iterator[str]:
        """The attributes that are named where the profile lets something happen."""
        if isinstance(node, ast.stmt) and self._is_dead(node):
            return
        if isinstance(node, ast.Attribute):
            yield node.attr
        for child in ast.iter_child_nodes(node):
            yield from self._named_alive(child)

    def _depend(self, first: ast.stmt, second: ast.stmt) -> bool:
        """Whether the order of two statements can matter: a step in one, or one uses what the other may change."""
        if steps(first) or steps(second):
            return True
        return not self._uses(first).isdisjoint(self._uses(second))

    def _uses(self, node: ast.AST, within: tuple[str, ...] = ()) -> set[str]:
        """The attributes that a statement uses, also by the methods it calls."""
        called = [
            each.func.attr
            for each in ast.walk(node)
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in self._methods
        ]
        uses = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)} - set(called)
        for name in called:
            if name not in within:
                uses |= self._uses(self._methods[name], (*within, name))
        return uses

    def _put(self, first: ast.AST, last: ast.AST, text: str) -> _Edit:
        return _Edit(*self._span(first, last), text)

    def _source(self, first: ast.AST, last: ast.AST) -> str:
        begin, end = self._span(first, last)
        return self._text[begin:end]

    def _span(self, first: ast.AST, last: ast.AST) -> tuple[int, int]:
        assert isinstance(first, ast.stmt | ast.expr)
        assert isinstance(last, ast.stmt | ast.expr)
        assert last.end_lineno is not None
        assert last.end_col_offset is not None
        return self._at(first.lineno, first.col_offset), self._at(last.end_lineno, last.end_col_offset)

    def _at(self, line: int, column: int) -> int:
        return self._begins[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """What stands in a function behind its docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def _is_all_of_a_callback(statement: ast.stmt, function: ast.AST) -> bool:
    """Whether a callback does nothing but one call."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name not in CALLBACKS:
        return False
    return isinstance(statement, ast.Expr) and _body(function) == [statement]

"""What the syntax tree of a driver's file says: its functions, names, switches and steps."""

import ast
from collections.abc import Iterator
from typing import Final

LEFT_ALONE: Final = ("__init__", "__repr__", "under_test")
"""Methods that set the driver up or show it; mistakes there are no matter of orders."""


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name not in LEFT_ALONE:
                    yield f"{node.name}.{inner.name}", inner


def aliases(tree: ast.Module) -> dict[str, str]:
    """Attributes that hold a switch of the profile: `self.pinned = self.profile.kvm_pinned_sptes`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            switch = switch_read(node.value)
            if switch:
                found[node.targets[0].attr] = switch
    return found


def switch_read(node: ast.AST) -> str:
    """The switch that an expression reads: the last name of `....profile.NAME`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "profile":
        return node.attr
    return ""


def bound(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def binds_names(assignment: ast.Assign) -> bool:
    return all(isinstance(target, ast.Name) for target in assignment.targets)


def read(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}


def read_elsewhere(function: ast.AST, statement: ast.stmt) -> set[str]:
    inside = list(ast.walk(statement))
    return {
        each.id
        for each in ast.walk(function)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each not in inside
    }


def steps(node: ast.AST) -> bool:
    """Whether others may run while a statement is executed."""
    return any(isinstance(each, ast.Await | ast.AsyncWith | ast.AsyncFor) for each in ast.walk(node))


def methods(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The methods that take no step, by name."""
    return {
        node.name: node
        for owner in tree.body
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.FunctionDef)
    }

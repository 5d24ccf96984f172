"""What a mutant is: one small change of the source, as an edit of the syntax tree that can be taken back.

Left alone: docstrings, annotations, decorators, texts of errors, `__repr__`, `__all__`, and `strict=True`, which ruff
asks for wherever two sequences are walked together.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
REASONS = {"Reason": ("MALFORMED", "TRAILING_BYTES"), "Reject": ("ACCOUNT_UNKNOWN", "ASSET_UNKNOWN")}
"""Enumerations of refusals, and what a refusal is exchanged for: the first, or the second where it is the first."""
TEXT_CALLS = ("refuse", "take", "u64", "exts", "count", "finish", "unpack_words")
"""Functions whose strings are the text of an error."""
_SKIPPED_NAMES = ("__repr__", "__str__", "__all__")


@dataclass
class Mutant:
    """One edit: `holder.field` (or `holder.field[index]`) becomes `node`.

    Args:
        function: qualified name of the outermost function, as Python gives it; empty outside of functions.
        lines: first and last line of what changes.
        occurrence: which of several edits with the same names and texts, from 0.
    """

    file: str
    function: str
    lines: tuple[int, int]
    operator: str
    old: str
    new: str
    holder: ast.AST
    field: str
    index: int | None
    node: ast.AST
    occurrence: int = 0

    @property
    def text(self) -> str:
        """As explanations name it: file, function, operator and what becomes what."""
        return f"{self.file} | {self.function or '-'} | {self.operator} | {self.old} -> {self.new}"

    @property
    def key(self) -> str:
        """Names the mutant without its line, so that edits elsewhere in the file do not rename it."""
        return f"{self.text} #{self.occurrence}" if self.occurrence else self.text

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The tree it belongs to, changed."""
        place: Any = getattr(self.holder, self.field)
        if self.index is None:
            setattr(self.holder, self.field, self.node)
        else:
            before, place[self.index] = place[self.index], self.node
        try:
            yield
        finally:
            if self.index is None:
                setattr(self.holder, self.field, place)
            else:
                place[self.index] = before


def mutants_of(file: str, tree: ast.Module) -> list[Mutant]:
    """All mutants of a module, in the order of the source."""
    found = list(_Finder(file).visit_body(tree, "body"))
    seen: dict[str, int] = {}
    for mutant in found:
        plain = mutant.key
        mutant.occurrence = seen.get(plain, 0)
        seen[plain] = mutant.occurrence + 1
    return found


class _Finder:
    """Walks one module; yields the edits of each node before those of its parts."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._names: list[str] = []
        self._function = ""
        self._statement: ast.stmt | None = None

    def _mutant(
        self, operator: str, holder: ast.AST, field: str, index: int | None, node: ast.AST | None = None
    ) -> Mutant:
        """`node` None: `holder` has been changed in a copy already, and only the place is wanted."""
        place: Any = getattr(holder, field)
        old = place if index is None else place[index]
        shown = old if isinstance(old, (ast.expr, ast.stmt)) else holder
        assert node is not None and self._statement is not None
        if shown is holder:
            changed = copy.copy(holder)
            setattr(changed, field, node if index is None else [*place[:index], node, *place[index + 1 :]])
            new = changed
        else:
            new = node
        if isinstance(node, (ast.expr, ast.stmt)):
            node = ast.fix_missing_locations(ast.copy_location(node, old if hasattr(old, "lineno") else holder))
        lines = (getattr(shown, "lineno", self._statement.lineno), getattr(shown, "end_lineno", 0))
        texts = (_text(shown), _text(new))
        return Mutant(self._file, self._function, lines, operator, *texts, holder, field, index, node)

    def visit_body(self, holder: ast.AST, field: str) -> Iterator[Mutant]:
        body: list[ast.stmt] = getattr(holder, field)
        for index, statement in enumerate(body):
            self._statement = statement
            if _is_text(statement):
                continue
            yield from self._deleted(holder, field, index, statement, alone=len(body) == 1)
            yield from self._visit_statement(statement)

    def _deleted(
        self, holder: ast.AST, field: str, index: int, statement: ast.stmt, *, alone: bool
    ) -> Iterator[Mutant]:
        """A lone `raise` below an `if` is not deleted: the `if` with False is the same."""
        is_call = isinstance(statement, ast.Expr) and not isinstance(statement.value, (ast.Yield, ast.YieldFrom))
        if is_call or isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.Raise) and not alone):
            yield self._mutant("delete", holder, field, index, ast.Pass())
        elif isinstance(statement, (ast.Continue, ast.Break)):
            other = ast.Break() if isinstance(statement, ast.Continue) else ast.Continue()
            yield self._mutant("loop", holder, field, index, other)

    def _visit_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from self._visit_definition(node)
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)) or "TYPE_CHECKING" in _text(node)[:20]:
            return
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _text(node).startswith(_SKIPPED_NAMES):
            return
        if isinstance(node, ast.Raise):
            yield from self._visit_raise(node)
            return
        if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield self._mutant("return", node, "value", None, ast.Constant(None))
        if isinstance(node, ast.AugAssign):
            yield from self._operator(node)
        yield from self._visit_parts(node)

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[Mutant]:
        if node.name in _SKIPPED_NAMES:
            return
        outer = self._function
        if not isinstance(node, ast.ClassDef):
            yield from self._visit_parts(node.args)  # defaults are evaluated outside
            self._function = outer or ".".join([*self._names, node.name])
        self._names.append(node.name)
        yield from self.visit_body(node, "body")
        self._names.pop()
        self._function = outer

    def _visit_raise(self, node: ast.Raise) -> Iterator[Mutant]:
        """Another reason; texts are left alone."""
        for part in ast.walk(node):
            yield from self._reason(part)

    def _reason(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in REASONS:
            first, second = REASONS[node.value.id]
            other = second if node.attr == first else first
            yield self._mutant("reason", node, "attr", None, other)  # type: ignore[arg-type]

    def _visit_parts(self, node: ast.AST) -> Iterator[Mutant]:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "targets", "target"):
                if field in ("targets", "target"):
                    yield from self._visit_targets(value)
                continue
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    yield from self.visit_body(node, field)
                    continue
                for index, part in enumerate(value):
                    if isinstance(part, ast.AST):
                        yield from self._visit_part(node, field, index, part)
            elif isinstance(value, ast.AST):
                yield from self._visit_part(node, field, None, value)

    def _visit_targets(self, value: Any) -> Iterator[Mutant]:
        for target in value if isinstance(value, list) else [value]:
            if isinstance(target, ast.Subscript):
                yield from self._visit_parts(target)

    def _visit_part(self, holder: ast.AST, field: str, index: int | None, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, (ast.JoinedStr, ast.FormattedValue)) or (
            isinstance(node, ast.keyword) and node.arg == "strict"
        ):
            return
        if isinstance(holder, (ast.If, ast.While, ast.IfExp)) and field == "test":
            for value in (True, False) if not isinstance(holder, ast.While) else (False,):
                yield self._mutant("condition", holder, field, index, ast.Constant(value))
        if isinstance(holder, ast.comprehension) and field == "ifs":
            yield self._mutant("condition", holder, field, index, ast.Constant(True))
        if isinstance(node, ast.Constant) and not (isinstance(node.value, str) and _is_called(holder, TEXT_CALLS)):
            yield from self._constant(holder, field, index, node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
            yield self._mutant("unary", holder, field, index, node.operand)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield self._mutant("boolean", node, "op", None, other)
            for skipped in range(len(node.values)):
                rest = [value for i, value in enumerate(node.values) if i != skipped]
                fewer = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
                yield self._mutant("operand", holder, field, index, fewer)
        elif isinstance(node, ast.Compare):
            for i, op in enumerate(node.ops):
                yield self._mutant("compare", node, "ops", i, COMPARE[type(op)]())
        elif isinstance(node, ast.BinOp):
            yield from self._operator(node)
        elif isinstance(node, ast.Slice):
            yield from self._slice(holder, field, index, node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield self._mutant("call", node, "func", None, ast.Name(CALLS[node.func.id], ast.Load()))
        yield from self._reason(node)
        yield from self._visit_parts(node)

    def _operator(self, node: ast.BinOp | ast.AugAssign) -> Iterator[Mutant]:
        sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
        is_sequence = any(isinstance(side, (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)) for side in sides)
        is_text = any(isinstance(side, ast.Constant) and isinstance(side.value, (str, bytes)) for side in sides)
        if type(node.op) in ARITHMETIC and not is_sequence and not is_text:
            yield self._mutant("arithmetic", node, "op", None, ARITHMETIC[type(node.op)]())

    def _constant(self, holder: ast.AST, field: str, index: int | None, node: ast.Constant) -> Iterator[Mutant]:
        value = node.value
        if isinstance(value, bool):
            yield self._mutant("constant", holder, field, index, ast.Constant(not value))
        elif isinstance(value, int):
            steps = (1, -1) if isinstance(holder, (ast.Compare, ast.Slice)) else (1,)
            for step in steps:
                yield self._mutant("constant", holder, field, index, ast.Constant(value + step))
        elif isinstance(value, bytes):
            yield self._mutant("constant", holder, field, index, ast.Constant(value + b"X"))
        elif isinstance(value, str):
            yield self._mutant("constant", holder, field, index, ast.Constant(value + "X"))

    def _slice(self, holder: ast.AST, field: str, index: int | None, node: ast.Slice) -> Iterator[Mutant]:
        """A bound that is a number is a constant already; others move by one."""
        if not isinstance(node.lower, ast.Constant):
            moved = ast.BinOp(node.lower, ast.Add(), ast.Constant(1)) if node.lower else ast.Constant(1)
            yield self._mutant("slice", node, "lower", None, moved)
        if not isinstance(node.upper, ast.Constant):
            moved = ast.BinOp(node.upper, ast.Sub(), ast.Constant(1)) if node.upper else ast.Constant(-1)
            yield self._mutant("slice", node, "upper", None, moved)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_called(node: ast.AST, names: Sequence[str]) -> bool:
    return isinstance(node, ast.Call) and _text(node.func).rpartition(".")[2].lstrip("_") in names


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())

"""The mutants of a file: its text with one operator, constant, sign, term of a sum, or call changed.

Not changed: docstrings, annotations, imports, what is raised, `zip(strict=)`, and fields of classes (default settings).
"""

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

SIGNS = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"), ast.Pow: ("**", "*"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|"),
    ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}  # fmt: skip
PAIRS = ("min max", "amin amax", "minimum maximum", "argmin argmax", "any all", "sum mean", "sin cos", "log log1p")
NAMES = dict(pair.split()[::way] for pair in PAIRS for way in (1, -1))

Edit = tuple[int, int, str]  # from byte, to byte, what stands there instead


@dataclass(frozen=True)
class Mutant:
    line: int
    before: str  # the line, stripped
    after: str
    text: str  # of the whole file


def mutants_of(text: str) -> list[Mutant]:
    """Each once, in the order of the file."""
    source, found = Source(text), {}
    for start, end, new in source.edits(ast.parse(text)):
        changed = (source.data[:start] + new.encode() + source.data[end:]).decode()
        line = source.data[:start].count(b"\n")
        with suppress(SyntaxError):
            compile(changed, "mutant", "exec")
            before, after = (one.split("\n")[line].strip() for one in (text, changed))
            found[changed] = Mutant(line + 1, before, after, changed)
    return list(found.values())


class Source:
    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.starts = [0]  # of each line
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def edits(self, node: ast.AST) -> Iterator[Edit]:
        """Of a node and what stands below it."""
        yield from ((*self._span(node), new) for new in self._instead(node))
        match node:
            case ast.Compare(left, signs, others):
                yield from self._signs([left, *others], signs)
            case ast.BoolOp(sign, values):
                yield from self._signs(values, [sign] * (len(values) - 1))
            case ast.BinOp(left, sign, right) | ast.AugAssign(left, sign, right):
                yield from self._signs([left, right], [sign])
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in NAMES:
                end = self._span(node)[1]
                yield end - len(name), end, NAMES[name]
        for child in _below(node):
            yield from self.edits(child)

    def _instead(self, node: ast.AST) -> Iterator[str]:
        """What may stand instead of the whole of a node."""
        match node:
            case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
                yield self._alone(left)
                if isinstance(sign, ast.Add):
                    yield self._alone(right)
            case ast.UnaryOp(ast.USub(), ast.Constant(int(value))):
                yield from (str(1 - value), str(-1 - value))
            case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
                yield self._alone(operand)
            case ast.Constant(bool(value)):
                yield str(not value)
            case ast.Constant(int(value)):
                yield from (str(value + 1), str(value - 1))
            case ast.Constant(float(value)):
                yield from (str(-value), str(2 * value)) if value else ("1.0",)
            case ast.AugAssign() | ast.Expr(ast.Call()):
                yield "pass"

    def _signs(self, values: Sequence[ast.expr], signs: Sequence[ast.AST]) -> Iterator[Edit]:
        for one, sign, other in zip(values[:-1], signs, values[1:], strict=True):
            start, end = self._span(one)[1], self._span(other)[0]
            if type(sign) in SIGNS:
                yield start, end, self.data[start:end].decode().replace(*SIGNS[type(sign)], 1)

    def _alone(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return f"({self.data[start:end].decode()})"

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset


def _below(node: ast.AST) -> list[ast.AST]:
    """What may be changed of it."""
    match node:
        case ast.Raise() | ast.Import() | ast.ImportFrom() | ast.UnaryOp(ast.USub(), ast.Constant(int())):
            return []
        case ast.FunctionDef(args=arguments, body=body):
            return [one for one in (*arguments.defaults, *arguments.kw_defaults, *body) if one is not None]
        case ast.ClassDef(body=body):
            return [one for one in body if not isinstance(one, ast.AnnAssign)]
        case ast.AnnAssign(value=value):
            return [value] if value is not None else []
        case ast.Call(function, arguments, named):
            return [function, *arguments, *(one.value for one in named if one.arg != "strict")]
    return list(ast.iter_child_nodes(node))

"""Who may import whom: the plan of the house as rules over the import statements, each with a tree that breaks it."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

OUTER = {"adapters", "cli", "importers", "web"}  # built on the public names, as a user's program is
PUBLIC = {"undercroft", "errors", "settings"}
OUTER_MAY = {
    "cli": PUBLIC | {"importers", "migrations"},  # `undercroft import` and `undercroft db` are their commands
    "web": PUBLIC | {"importers"},
}
FLOOR = {  # everything below the slices
    "errors": set[str](),
    "settings": {"errors"},
    "core": {"errors", "settings"},
}
TABLES_OF_CONTENTS = {"undercroft", "store", "overview", "models", "migrations"}  # they name every slice
NEIGHBOURS = {  # slices that any other may build on, never in a circle
    "tenants": "everything belongs to one",
    "users": "whoever acts or is written about",
    "audit": "an act is recorded in the transaction that does it",
    "sessions": "a question is asked in one",
    "app_settings": "what a user prefers stands before them",
}
OVERSEERS = {"upkeep": "it counts, keeps and removes what every slice holds"}
SHARED_MODULES = {"ops", "models", "records"}
NAMELESS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
LINES = 300
LONG_FOR_A_REASON: dict[str, str] = {}  # module: reason


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@dataclass(frozen=True)
class Module:
    name: str
    path: Path

    @cached_property
    def lines(self) -> int:
        return len(self.path.read_text().splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


class Tree:
    """The modules of a package and the imports among them."""

    def __init__(self, source: Path) -> None:
        self.modules: dict[str, Module] = {}
        for path in sorted(source.glob("undercroft/**/*.py")):
            name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
            self.modules[name] = Module(name, path)

    @cached_property
    def imports(self) -> list[Import]:
        return [found for module in self.modules.values() for found in self._imports(module)]

    @cached_property
    def slices(self) -> set[str]:
        return {unit(name) for name in self.modules} - OUTER - set(FLOOR) - TABLES_OF_CONTENTS

    def _imports(self, module: Module) -> Iterator[Import]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [self._module(base, alias.name) for base in [_base(module, node)] for alias in node.names]
            else:
                continue
            for name in sorted({name for name in names if name.split(".")[0] == "undercroft"}):
                yield Import(module.name, name, node.lineno)

    def _module(self, base: str, name: str) -> str:
        """What ``from base import name`` reads: a module of that name, else the base itself."""
        return f"{base}.{name}" if f"{base}.{name}" in self.modules else base


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def unit(module: str) -> str:
    """The folder or module right under the package, "undercroft" for the package itself."""
    return module.split(".")[1] if "." in module else module


def layers(tree: Tree) -> Iterator[str]:
    for found in tree.imports:
        here, there = unit(found.importer), unit(found.imported)
        if here == there or here in TABLES_OF_CONTENTS:
            continue
        if here in FLOOR and there not in FLOOR[here]:
            yield f"{found}: {here} stands below it"
        elif here in OUTER and not _outer_may(found):
            yield f"{found}: {here} is built on the public names only"
        elif here in tree.slices and there not in tree.slices | set(FLOOR):
            yield f"{found}: a slice stands on core"


def _outer_may(found: Import) -> bool:
    here, there = unit(found.importer), unit(found.imported)
    records = here == "importers" and found.imported.endswith(".records")
    return there in OUTER_MAY.get(here, PUBLIC) or records


def neighbours(tree: Tree) -> Iterator[str]:
    for found in tree.imports:
        here, there = unit(found.importer), unit(found.imported)
        if here == there or not {here, there} <= tree.slices:
            continue
        if there not in NEIGHBOURS and here not in OVERSEERS:
            yield f"{found}: {there} is not declared in NEIGHBOURS"
        elif here not in OVERSEERS and found.imported.split(".")[2:3] not in [[name] for name in SHARED_MODULES]:
            yield f"{found}: only {', '.join(sorted(SHARED_MODULES))} of another slice"


def circles(tree: Tree) -> Iterator[str]:
    graph: dict[str, set[str]] = {}
    for found in tree.imports:
        here, there = unit(found.importer), unit(found.imported)
        if here != there:
            graph.setdefault(here, set()).add(there)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "a circle: " + " <- ".join(error.args[1])


def dialects(tree: Tree) -> Iterator[str]:
    for module in tree.modules.values():
        if module.name.startswith("undercroft.core.dialects"):
            continue
        for node in ast.walk(module.tree):
            if _asks_for_the_dialect(node):
                yield f"{module.name}:{node.lineno} asks which database it is on: a verb or a flag of the dialect"


def _asks_for_the_dialect(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="name", value=ast.Attribute(attr="dialect") | ast.Name(id="dialect")):
            return True
        case ast.Attribute(attr="dialect_name") | ast.Name(id="dialect_name") | ast.arg(arg="dialect_name"):
            return True
    return False


def file_names(tree: Tree) -> Iterator[str]:
    for name in tree.modules:
        for part in NAMELESS.intersection(name.split(".")):
            yield f"{name}: {part} says nothing; name what is in it"


def sizes(tree: Tree) -> Iterator[str]:
    return too_long(tree, LONG_FOR_A_REASON)


def too_long(tree: Tree, reasons: Mapping[str, str]) -> Iterator[str]:
    long = {module.name: module.lines for module in tree.modules.values() if module.lines > LINES}
    for name in long.keys() - reasons.keys():
        yield f"{name} has {long[name]} lines, more than {LINES}: find the second room in it"
    for name in reasons.keys() - long.keys():
        yield f"{name} is listed as long and is not"


RULES = [layers, neighbours, circles, dialects, file_names, sizes]


@pytest.fixture(scope="module")
def house() -> Tree:
    return Tree(SOURCE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Callable[[Tree], Iterable[str]], house: Tree) -> None:
    assert list(rule(house)) == []


def test_the_house_was_read(house: Tree) -> None:
    assert "undercroft.errors" in house.modules
    assert any(found.imported == "undercroft.errors" for found in house.imports)


BROKEN = [
    (layers, {"core/tx.py": "from undercroft.archive import ops"}, "core.tx:1 imports undercroft.archive.ops: core"),
    (layers, {"core/tx.py": "from undercroft import store"}, "core.tx:1 imports undercroft.store: core stands below"),
    (layers, {"errors.py": "import undercroft.settings"}, "errors stands below it"),
    (layers, {"settings.py": "from .core import clock"}, "settings:1 imports undercroft.core.clock"),
    (layers, {"archive/ops.py": "from undercroft import Store"}, "imports undercroft: a slice stands on core"),
    (layers, {"archive/ops.py": "from undercroft.cli import main"}, "a slice stands on core"),
    (layers, {"archive/ops.py": "def f():\n    from ..importers import slack"}, "archive.ops:2 imports undercroft.imp"),
    (layers, {"cli/main.py": "from undercroft.archive.ops import save"}, "cli is built on the public names only"),
    (layers, {"cli/main.py": "from undercroft import archive"}, "cli is built on the public names only"),
    (layers, {"adapters/slack.py": "from undercroft.core.tx import Tx"}, "adapters is built on the public names"),
    (layers, {"adapters/slack.py": "from undercroft.archive.records import Message"}, "adapters is built on"),
    (layers, {"importers/slack.py": "from undercroft.archive.ops import save"}, "importers is built on the public"),
    (neighbours, {"archive/ops.py": "from undercroft.metrics.ops import log"}, "metrics is not declared"),
    (neighbours, {"archive/ops.py": "from undercroft.users import Users"}, "only models, ops, records of another"),
    (neighbours, {"archive/ops.py": "from undercroft.users.rules import folded"}, "only models, ops, records of"),
    (circles, {"audit/ops.py": "from undercroft.users import ops"}, "a circle: "),
    (dialects, {"archive/ops.py": "def f(tx):\n    return tx.dialect.name"}, "archive.ops:2 asks which database"),
    (dialects, {"core/tx.py": "def f(dialect):\n    return dialect.name == 'sqlite'"}, "core.tx:2 asks which"),
    (dialects, {"core/tx.py": "def f(dialect_name): ..."}, "core.tx:1 asks which database"),
    (file_names, {"archive/utils.py": ""}, "utils says nothing"),
    (file_names, {"common/ids.py": ""}, "common says nothing"),
    (sizes, {"archive/ops.py": "\n" * (LINES + 1)}, "undercroft.archive.ops has 301 lines"),
]  # fmt: skip

ALLOWED = {
    "__init__.py": "from undercroft.store import Store",
    "store.py": "from undercroft.archive import Archive\nfrom undercroft.core.tx import Tx",
    "errors.py": "",
    "settings.py": "from undercroft.errors import ConfigurationError",
    "core/__init__.py": "",
    "core/clock.py": "",
    "core/tx.py": "from .clock import now\nfrom .. import errors\nfrom undercroft.settings import Settings",
    "core/dialects/base.py": "def f(dialect):\n    return dialect.name",
    "archive/__init__.py": "from .ops import save\nfrom undercroft.core.operation import operation",
    "archive/ops.py": "from undercroft.users import ops as users\nfrom undercroft.users.models import user_table",
    "users/__init__.py": "",
    "users/ops.py": "import sqlalchemy\nfrom undercroft.audit.ops import log\nfrom undercroft.errors import NotFound",
    "audit/__init__.py": "",
    "audit/ops.py": "\n" * LINES,
    "metrics/ops.py": "",
    "cli/__init__.py": "from undercroft import Store, errors\nfrom undercroft.cli.main import app",
    "cli/main.py": "from undercroft.importers.slack import read",
    "importers/__init__.py": "",
    "importers/slack.py": "from undercroft.archive.records import Message\nfrom undercroft.errors import SourceRefused",
    "adapters/slack.py": "from undercroft import AsyncStore",
}


def _built(folder: Path, files: Mapping[str, str]) -> Tree:
    for name, text in files.items():
        path = folder / "undercroft" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(folder)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tree_after_the_plan_breaks_no_rule(rule: Callable[[Tree], Iterable[str]], tmp_path: Path) -> None:
    assert list(rule(_built(tmp_path, ALLOWED))) == []


@pytest.mark.parametrize(("rule", "files", "report"), BROKEN, ids=range(len(BROKEN)))
def test_a_tree_that_breaks_a_rule_is_reported(
    rule: Callable[[Tree], Iterable[str]], files: Mapping[str, str], report: str, tmp_path: Path
) -> None:
    [found] = rule(_built(tmp_path, ALLOWED | files))
    assert report in found


def test_a_reason_for_a_module_that_is_short_again_is_reported(tmp_path: Path) -> None:
    tree = _built(tmp_path, {"archive/ops.py": "\n" * (LINES + 1)})
    assert list(too_long(tree, {"undercroft.archive.ops": "one table"})) == []
    assert list(too_long(tree, {"undercroft.archive.ops": "one table", "undercroft.store": "gone"})) == [
        "undercroft.store is listed as long and is not"
    ]

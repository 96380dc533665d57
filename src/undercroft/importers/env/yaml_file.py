"""YAML files, as PyYAML's safe loader reads them, with lines and without anchors."""

from typing import Any, Final

from undercroft.errors import MissingExtra
from undercroft.importers.env.tree import Block, Fault

try:
    import yaml
except ImportError as missing:
    raise MissingExtra(extra="yaml") from missing

DEEPEST: Final = 100
_AS_WRITTEN: Final = "tag:yaml.org,2002:timestamp"
_SCALARS: Final = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_MAPPING, _SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


def parse(text: str) -> Block:
    """Return what the file holds; numbers and booleans are what Python's programs read, dates are text.

    Raises:
        Fault: it is no YAML, no mapping, nested too deeply, has anchors or tags, or a name is there twice.
    """
    try:
        _refuse_bombs(text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        found = Block() if node is None else _value(loader, node)
    except yaml.MarkedYAMLError as error:
        raise Fault(f"it is no YAML: {_problem(error)}", _line(error.problem_mark or error.context_mark)) from None
    except yaml.reader.ReaderError as error:
        raise Fault("a character in it may not be in YAML", text.count("\n", 0, error.position) + 1) from None
    if not isinstance(found, Block):
        raise Fault("it is no mapping: names with values", 1)
    return found


def _refuse_bombs(text: str) -> None:
    """Refuse before anything is built: nine lines of anchors can stand for a billion values."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Fault("it is nested too deeply", _line(event.start_mark))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Fault("anchors and aliases are not read", _line(event.start_mark), hint="write the values out")


def _line(mark: Any) -> int | None:
    """Return the line of a mark, which a token that is made up does not have."""
    return None if mark is None else mark.line + 1


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return the kind of the problem alone: its other words may quote the file."""
    return (
        str(error.problem or error.context or "").split("'")[0].removesuffix(", but found ").strip(" :,")
        or "it cannot be parsed"
    )


def _value(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
        block = Block()
        for name, below in node.value:
            at = name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode) or name.tag not in _SCALARS:
                raise Fault("a name is a single word, not a list, a mapping or a merge", at)
            block.add(name.value, at, _value(loader, below))
        return block
    if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
        return [_value(loader, below) for below in node.value]
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
        raise Fault("tags such as !!binary, !!set and !name are not read", line, hint="write the value as plain text")
    if node.tag == _AS_WRITTEN:
        return node.value
    try:
        return loader.construct_object(node)
    except ValueError:
        raise Fault("a number in it cannot be read", line, hint="keep it as text, in quotes") from None

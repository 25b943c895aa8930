"""Reading defs.yaml so that every complaint can name file, document, line and key. No Dagster import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import yaml

from connectors.sdk.errors import ConfigError

KeyPath = tuple[str | int, ...]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One YAML document. `lines` gives the 1-based line on which each key path starts, for messages."""

    path: Path
    number: int
    count: int
    data: Any
    lines: Mapping[KeyPath, int]

    def where(self, *keys: str | int) -> str:
        """`defs/crm/defs.yaml line 7`, with the document's number when the file holds several; the nearest known parent of `keys` counts."""
        line = self.lines.get((), 1)
        for size in range(len(keys), 0, -1):
            if keys[:size] in self.lines:
                line = self.lines[keys[:size]]
                break
        several = f" (document {self.number} of {self.count})" if self.count > 1 else ""
        return f"{self.path} line {line}{several}"


class _TextDates(yaml.SafeLoader):
    """SafeLoader that leaves dates as text, as Dagster's own YAML reader does, so that both views of a file agree."""


_TextDates.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Nodes(Protocol):
    """What is asked of a loader; PyYAML's type hints leave these methods out."""

    def check_node(self) -> bool: ...
    def get_node(self) -> yaml.Node | None: ...
    def construct_document(self, node: yaml.Node) -> Any: ...
    def dispose(self) -> None: ...


def read_documents(path: Path, shown_as: Path | None = None) -> list[Document]:
    """All documents of a YAML file. Raises ConfigError on bad syntax, a key that is written twice, and an empty file or document."""
    shown = shown_as or path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}: cannot be read ({error}).") from None
    loader: _Nodes = _TextDates(text)
    found = []
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            _refuse_repeated_keys(node, shown)
            data = loader.construct_document(node)
            if data is None:
                raise ConfigError(
                    f"{shown} line {node.start_mark.line + 1}: an empty document; Dagster refuses it. Remove the `---`."
                )
            found.append((data, dict(_lines(node, ()))))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{shown} line {line}: not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown}: not valid YAML: {error}.") from None
    finally:
        loader.dispose()
    if not found:
        raise ConfigError(
            f"{shown}: describes nothing, and Dagster refuses such a file. Remove it, or write a document into it."
        )
    return [
        Document(path=shown, number=number, count=len(found), data=data, lines=lines)
        for number, (data, lines) in enumerate(found, start=1)
    ]


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if not path:
        yield (), node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, index)
            yield here, value.start_mark.line + 1
            yield from _lines(value, here)


def _refuse_repeated_keys(node: yaml.Node, shown: Path) -> None:
    """YAML readers keep the last of two equal keys in silence; a person who wrote both wants to know."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen and name != "<<":
                raise ConfigError(f"{shown} line {line}: key {name!r} is written twice (first on line {seen[name]}).")
            seen[name] = line
            _refuse_repeated_keys(value, shown)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, shown)

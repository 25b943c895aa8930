"""A new connector as a folder: a plug-in that works, a fake CRM, tests that pass at once, and a page about it.

The templates are the plug-in `acme`; for another name the name is replaced. The tutorial (docs/plugins.md) goes through the same files.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from connectors.sdk import ConfigError

_TEMPLATES = Path(__file__).with_name("templates")

#: Template -> where it goes in the plug-in's folder, both for the name acme.
FILES: dict[str, str] = {
    "pyproject.toml.txt": "pyproject.toml",
    "connector.py.txt": "src/muara_acme/__init__.py",
    "fake.py.txt": "tests/fake_acme.py",
    "test.py.txt": "tests/test_acme.py",
    "docs.md.txt": "docs/acme.md",
}


def write_skeleton(name: str, folder: Path) -> list[Path]:
    """Write the plug-in `muara-<name>` into `folder`; returns the files in order. Its tests pass as they are.

    Raises ConfigError for a name that is no entry-point name, or when one of the files is there already; then nothing is written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ConfigError(f"connector name {name!r}: write lower-case letters, digits and _, beginning with a letter.")
    texts = {folder / _named(place, name): _named(template(source), name) for source, place in FILES.items()}
    there = [path for path in texts if path.exists()]
    if there:
        raise ConfigError(f"{there[0]} is there already. Choose another name or folder; nothing was written.")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def template(source: str) -> str:
    """The text of a template, for the name acme."""
    return (_TEMPLATES / source).read_text(encoding="utf-8")


def _named(text: str, name: str) -> str:
    title = "".join(part.capitalize() for part in name.split("_") if part)
    distribution = text.replace("muara-acme", f"muara-{name.replace('_', '-')}")
    return distribution.replace("acme", name).replace("Acme", title).replace("ACME", name.upper())

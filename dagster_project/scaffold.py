"""Writing a new project folder, and Dagster's own home inside Muara's. No Dagster import."""

from __future__ import annotations

from pathlib import Path

from connectors.sdk.errors import ConfigError

_TEMPLATES = Path(__file__).parent / "templates"


def create_project(folder: Path) -> list[Path]:
    """Write dg.toml, defs/warehouse/defs.yaml, README.md and .gitignore; what is there already stays. Returns the files written.

    Raises ConfigError when the folder is a project already.
    """
    if (folder / "dg.toml").exists():
        raise ConfigError(f"{folder}: dg.toml is there already; this is a project. Nothing was written.")
    texts = {
        folder / "dg.toml": _template("dg.toml").replace("{name}", _code_location(folder)),
        folder / "defs" / "warehouse" / "defs.yaml": _template("warehouse.yaml"),
        folder / "README.md": _template("README.md"),
        folder / ".gitignore": _template("gitignore"),
    }
    written = []
    for path, text in texts.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def dagster_home(home: Path) -> Path:
    """`<home>/dagster` with a dagster.yaml that has pools and no telemetry; a dagster.yaml that is there stays as it is."""
    folder = home / "dagster"
    settings = folder / "dagster.yaml"
    if not settings.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(_template("dagster.yaml"), encoding="utf-8")
    return folder


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _code_location(folder: Path) -> str:
    """A name that Dagster's addresses can carry."""
    name = "".join(
        char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in folder.resolve().name
    )
    return name or "muara"

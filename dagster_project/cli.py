"""The `muara` command line: arguments in, one result out. Commands are loaded when they are called, so each starts fast.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 partial or suspicious.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from connectors.sdk.clock import Clock, SystemClock
from connectors.sdk.errors import MuaraError

OK, FAILED, USAGE, PARTIAL = 0, 1, 2, 3


class Result(NamedTuple):
    """What a command gives back: exit code, data for `--json`, text for people."""

    code: int
    data: Any
    text: str


class Context(NamedTuple):
    """Everything a command may lean on from outside; tests hand in their own."""

    env: Mapping[str, str]
    cwd: Path
    clock: Clock
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO


class _Command(NamedTuple):
    help: str
    handler: str
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    children: Mapping[str, Any] = {}


def _sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="names of sources; default: all")


def _sync(parser: argparse.ArgumentParser) -> None:
    _sources(parser)
    parser.add_argument("--full", action="store_true", help="read everything again; nothing is dropped")
    parser.add_argument(
        "--accept-deletes", action="store_true", help="believe it when unusually many deals have vanished"
    )


def _as_of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as-of", metavar="INSTANT", help="build as of this instant, such as 2026-07-01T00:00:00Z; default: now"
    )


def _run(parser: argparse.ArgumentParser) -> None:
    _sync(parser)
    _as_of(parser)


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=Path, help="folder to make")


def _one_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="name of the source")


def _deal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("deal_key", metavar="DEAL_KEY", help="such as hubspot_eu:1234567")


def _two_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="name of the source as it is")
    parser.add_argument("new", metavar="NEW", help="its new name: a-z, 0-9, _")


def _remove(parser: argparse.ArgumentParser) -> None:
    _one_source(parser)
    parser.add_argument(
        "--delete-data", action="store_true", help="delete what is landed of it too; it cannot be undone"
    )
    parser.add_argument("--yes", action="store_true", help="do it; without it, tell what would be done and exit with 2")


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="show the settings of these")


def _new_connector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="its name in sources: a-z, 0-9, _")
    parser.add_argument("dir", nargs="?", metavar="DIR", help="folder to write into; default: muara-NAME")


def _sheet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file, folder or glob")
    parser.add_argument(
        "--set",
        action="append",
        metavar="SETTING=VALUE",
        help="read it with this setting of the spreadsheet connector, such as locale=id_ID; may be repeated",
    )


def _mapping_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--write", action="store_true", help="write it into the project's mapping file instead of printing it"
    )


def _classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mapping", metavar="FILE", help="a stage mapping file that wins over the dictionary")


def _sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "systems", nargs="*", metavar="SYSTEM", help="salesforce, hubspot, pipedrive; default: all three"
    )
    parser.add_argument("--deals", type=int, default=200, help="deals of the made-up company (default: 200)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same company (default: 7)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="how long each call takes")
    parser.add_argument("--port", type=int, default=0, help="first port; default: free ones")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dir", metavar="DIR", type=Path, help="folder for the files; those of the same name are replaced"
    )


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", type=Path, default=Path(".demo"), help="where to run it (default: .demo)")
    parser.add_argument("--keep", action="store_true", help="go on with what an earlier demo left there")
    parser.add_argument(
        "--ui", action="store_true", help="open it in Dagster's UI; runs the demo first where it is missing"
    )
    parser.add_argument("--port", type=int, default=3000, help="port of the UI (default: 3000)")


COMMANDS: Mapping[str, _Command] = {
    "demo": _Command("run the whole hub on sample data and print the headline tables", "cli_demo:demo", _demo),
    "init": _Command("make a project folder", "cli_project:init", _init),
    "check": _Command("try credentials, scopes and field permissions", "cli_sync:check", _sources),
    "plan": _Command("tell the calls and rows that a sync would need", "cli_sync:plan", _sources),
    "sync": _Command("read sources into the landing zone", "cli_sync:sync", _sync),
    "build": _Command("build, check and publish the warehouse", "cli_sync:build", _as_of),
    "run": _Command("sync all sources, then build", "cli_sync:run", _run),
    "replay": _Command("map what is stored again, without asking the source", "cli_sync:replay", _one_source),
    "rollback": _Command("publish the build before the present one", "cli_sync:rollback"),
    "show": _Command("everything known of one deal, raw records included", "cli_show:show", _deal),
    "report": _Command("print the headline tables of the published file", "cli_demo:report"),
    "export": _Command("write the published tables as Parquet files", "cli_demo:export", _export),
    "sources": _Command(
        "what is configured and what is landed",
        "",
        children={
            "list": _Command("list sources with what is landed of each", "cli_sources:list_"),
            "rename": _Command(
                "give a source another name: its YAML, its landing folder, its tokens", "cli_sources:rename", _two_names
            ),
            "remove": _Command(
                "take a source out of the project; what is landed stays unless --delete-data",
                "cli_sources:remove",
                _remove,
            ),
        },
    ),
    "stages": _Command(
        "what stage names count as",
        "",
        children={
            "list": _Command("list every stage with what it counts as, and why", "cli_stages:list_stages"),
            "unmapped": _Command("list stages that wait for a decision, with their deals", "cli_stages:unmapped"),
            "suggest": _Command(
                "write a mapping file with every doubtful stage, to be edited", "cli_stages:suggest", _mapping_file
            ),
            "pin": _Command(
                "write a mapping file that freezes what every stage counts as now", "cli_stages:pin", _mapping_file
            ),
            "classify": _Command(
                "read stage names as CSV from standard input, write them with what they count as; needs no project",
                "cli_stages:classify",
                _classify,
            ),
        },
    ),
    "sheets": _Command(
        "look at spreadsheets",
        "",
        children={
            "inspect": _Command(
                "show how a file would be read, and a source that would load it", "cli_sheets:inspect", _sheet
            )
        },
    ),
    "sandbox": _Command(
        "serve fake CRMs on this machine, and print sources that read them", "cli_sandbox:sandbox", _sandbox
    ),
    "connectors": _Command("list connectors and their settings", "cli_project:connectors", _names),
    "connector": _Command(
        "make a connector of your own",
        "",
        children={
            "new": _Command(
                "write a connector as a package of its own, with a fake CRM and tests that pass at once",
                "cli_plugin:new",
                _new_connector,
            )
        },
    ),
    "doctor": _Command("look for what is wrong with this installation and project", "cli_project:doctor"),
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="muara",
        description="Deals from every CRM and spreadsheet in one pipeline model.",
        epilog="Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 partial or suspicious.",
        formatter_class=_wide,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    _everywhere(parser, json=False, project=None, debug=False)
    common = argparse.ArgumentParser(add_help=False)
    # What is said before the command must not be overwritten by a default after it.
    _everywhere(common, json=argparse.SUPPRESS, project=argparse.SUPPRESS, debug=argparse.SUPPRESS)
    _add(parser, COMMANDS, common)
    return parser


def _everywhere(parser: argparse.ArgumentParser, *, json: Any, project: Any, debug: Any) -> None:
    parser.add_argument("--json", action="store_true", default=json, help="print the result as JSON")
    parser.add_argument(
        "--project",
        type=Path,
        metavar="DIR",
        default=project,
        help="the project folder; default: MUARA_PROJECT, else the current folder",
    )
    parser.add_argument("--debug", action="store_true", default=debug, help="show tracebacks")


def _wide(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=32)


def _add(parser: argparse.ArgumentParser, commands: Mapping[str, _Command], common: argparse.ArgumentParser) -> None:
    group = parser.add_subparsers(metavar="COMMAND")
    for name, command in commands.items():
        parents = [] if command.children else [common]
        child = group.add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            parents=parents,
            formatter_class=_wide,
        )
        command.arguments(child)
        if command.children:
            _add(child, command.children, common)
            child.set_defaults(handler=None, usage_of=child)
        else:
            child.set_defaults(handler=command.handler)


def main(argv: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Run one command. Returns the exit code."""
    if context is None:
        for stream in (sys.stdout, sys.stderr):
            # Deal names come in every script; a terminal that cannot show one gets an escape, not a crash.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    context = context or Context(
        env=os.environ, cwd=Path.cwd(), clock=SystemClock(), stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr
    )
    parser = build_parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # argparse prints its own message and exits with 2, or with 0 after --help
        return int(stop.code or 0)
    if args.version:
        print(_version(), file=context.stdout)
        return OK
    if getattr(args, "handler", None) is None:
        getattr(args, "usage_of", parser).print_help(context.stderr)
        return USAGE
    return _call(args, context)


def _call(args: argparse.Namespace, context: Context) -> int:
    module, function = args.handler.split(":")
    try:
        from dagster_project.guard import require_own_packages  # noqa: PLC0415 - fast start

        require_own_packages()
        handler = getattr(importlib.import_module(f"dagster_project.{module}"), function)
        result: Result = handler(args, context)
        _print(result, args, context)
    except MuaraError as error:
        return _failed(str(error), args, context)
    except KeyboardInterrupt:
        return _failed("stopped. What was committed is kept; the next sync goes on from there.", args, context)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; a second complaint at exit would only confuse.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        from connectors.sdk.redaction import redact  # noqa: PLC0415 - fast start

        message = f"{type(error).__name__}: {error}. This is a bug in Muara or in a connector; --debug shows where."
        return _failed(redact(message), args, context)
    return result.code


def _print(result: Result, args: argparse.Namespace, context: Context) -> None:
    if args.json and result.data is not None:
        from dagster_project.cli_output import to_json  # noqa: PLC0415 - fast start

        print(to_json(result.data), file=context.stdout)
    elif result.text:
        print(result.text, file=context.stdout)
    # Here, where a reader that has gone away can still be told from a failure.
    context.stdout.flush()


def _failed(message: str, args: argparse.Namespace, context: Context) -> int:
    from connectors.sdk.redaction import redact  # noqa: PLC0415 - fast start

    if args.debug:
        print(redact(traceback.format_exc()), file=context.stderr, end="")
    message = redact(message)
    if args.json:
        from dagster_project.cli_output import to_json  # noqa: PLC0415 - fast start

        print(to_json({"status": "failed", "error": message}), file=context.stdout)
    else:
        print(f"muara: {message}", file=context.stderr)
    return FAILED


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - fast start

    return f"muara {metadata.version('muara')}"


if __name__ == "__main__":
    sys.exit(main())

"""What a check is, and how one is run: a small named function that a connector passes, breaks, or cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from connectors.sdk import Connector
from connectors.testing.bench import Bench, ContractError
from connectors.testing.harness import Harness, Impossible


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One promise. `needs`: capabilities without which there is nothing to prove. `promise` is the function's docstring."""

    name: str
    promise: str
    needs: tuple[str, ...]
    prove: Callable[[Bench], None]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of one check. `text`: what is missing, or why it cannot be asked."""

    check: str
    outcome: Literal["kept", "broken", "impossible"]
    text: str = ""
    error: BaseException | None = None


def check(*needs: str) -> Callable[[Callable[[Bench], None]], Check]:
    """Make a check of a function; `needs` names capabilities (`connectors.sdk.Capabilities`)."""

    def made(prove: Callable[[Bench], None]) -> Check:
        promise = " ".join((prove.__doc__ or "").split())
        return Check(name=prove.__name__, promise=promise, needs=needs, prove=prove)

    return made


def run_check(
    one: Check, harness: type[Harness], connector: type[Connector] | None = None, *, bench: type[Bench] = Bench
) -> Result:
    """Run one check. `connector` stands in for the harness's own. Nothing is raised: an unexpected error is a broken promise, too."""
    subject = connector or harness.connector
    declared = subject.capabilities.impossible()
    for need in one.needs:
        if need in declared:
            if not declared[need].strip():
                text = f"capabilities: {need} is declared impossible without a note. Say why in `notes`."
                return Result(check=one.name, outcome="broken", text=text)
            return Result(check=one.name, outcome="impossible", text=f"{need}: {declared[need]}")
    try:
        with bench(harness, subject) as running:
            one.prove(running)
    except Impossible as fact:
        return Result(check=one.name, outcome="impossible", text=fact.note)
    except ContractError as error:
        return Result(check=one.name, outcome="broken", text=str(error), error=error)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Result(check=one.name, outcome="broken", text=text, error=error)
    return Result(check=one.name, outcome="kept")

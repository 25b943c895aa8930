"""The one loop around every single request: budget, pace, send, judge, wait, repeat; counted and without secrets in its words.

A connector gets a ready `CallPolicy` as `sync.calls`, sets its pools, and uses it in one of two ways:

    calls.pool("default", limit=190, interval_s=10)
    calls.pool("search", limit=5, interval_s=1)

    session = calls.session(auth=auth, base_url=url)                    # any client that takes a requests.Session
    deals = calls.call("deals.search", lambda: api.do_search(...), judge, pool="search")        # any other client

Retry wraps one request, never a page loop. A connector never sleeps, never counts, never logs a request.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import requests
import urllib3

from connectors.sdk.auth import Auth, SingleFlight
from connectors.sdk.budget import DailyBudget
from connectors.sdk.clock import Clock, SystemClock
from connectors.sdk.errors import ConfigError, MuaraError, QuotaError, TransientError
from connectors.sdk.limiter import Limiter
from connectors.sdk.redaction import Redactor, redactor
from connectors.sdk.session import PolicyAdapter, Request, checked_url, describe_request
from connectors.sdk.tokens import MemoryTokens, TokenStore
from connectors.sdk.verdict import Answer, Judge, Verdict, judge_handing_back, judge_status
from connectors.sdk.workers import Cancelled, Workers

log = logging.getLogger("muara.calls")

T = TypeVar("T")
R = TypeVar("R")

#: The pool of calls that name none.
DEFAULT_POOL = "default"
#: A worker that waits looks up this often whether it is still wanted.
_LOOK_UP_S = 0.25
#: Endpoint names beyond this are counted together, so that a URL with ids in it cannot fill the memory.
_MOST_ENDPOINTS = 200


class RetryRule(msgspec.Struct, frozen=True, kw_only=True):
    """How long one request may be repeated. Waits are random between 0 and base * 2^n (full jitter), at most `cap_s` each.

    `max_wait_s` is the most that is waited for a `Retry-After`: a longer one is cut to it, but after 429 it means a quota (QuotaError).
    """

    attempts: int = 6
    bursts: int = 8
    base_s: float = 1.0
    cap_s: float = 60.0
    max_wait_s: float = 120.0
    total_s: float = 600.0


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of a sync came to. `calls` counts requests sent by endpoint, repeats included; `cost` the same in tokens.

    `waited_s`: seconds that calls waited for their turn or for the source (summed over workers). `quota_left`/`quota_limit`: the vendor's
    own daily quota as last told; `budget_left`: calls we may still make today, all bounds together. None = not known.
    """

    calls: dict[str, int]
    cost: dict[str, int]
    retries: int = 0
    bursts: int = 0
    renewals: int = 0
    waited_s: float = 0.0
    quota_left: int | None = None
    quota_limit: int | None = None
    budget_left: int | None = None
    notices: tuple[str, ...] = ()


class _Worker(threading.local):
    """What a thread is in the middle of."""

    is_sending = False
    cancel: threading.Event | None = None


class CallPolicy:
    """The call policy of one sync of one source. Safe to share between threads. Everything that varies is handed in.

    `budget` and `account`: calls are counted under `account` (until it is known, under the source's own name; see `use_account`).
    `tokens`: where rotating refresh tokens are kept; in memory when not given. `secrets` are hidden in logs and errors from now on.
    """

    def __init__(
        self,
        source_key: str,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        rule: RetryRule | None = None,
        budget: DailyBudget | None = None,
        account: str | None = None,
        secrets: Iterable[str] = (),
        redactor: Redactor = redactor,
        tokens: TokenStore | MemoryTokens | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
    ) -> None:
        self.source_key = source_key
        self.clock = clock or SystemClock()
        self.budget = budget
        self.account = account or f"source:{source_key}"
        self.redactor = redactor
        self.tokens = tokens if tokens is not None else MemoryTokens(redactor=redactor)
        #: (connect, read) in seconds, for clients that want it with each call.
        self.timeout = timeout
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._rule = rule or RetryRule()
        self._worker = _Worker()
        self._lock = threading.Lock()
        self._pools: dict[str, Limiter] = {}
        self._flights: dict[Any, SingleFlight] = {}
        self._observers: list[Callable[[Answer], None]] = []
        self._calls: Counter[str] = Counter()
        self._cost: Counter[str] = Counter()
        self._tally: Counter[str] = Counter()
        self._spent = 0
        self._waited_s = 0.0
        self._notices: dict[str, None] = {}
        self._said: set[str] = set()
        redactor.add(*secrets)
        redactor.install()

    # -- set-up ---------------------------------------------------------------------------------------------------------------

    def pool(self, name: str = DEFAULT_POOL, limit: int | None = None, interval_s: float = 1.0) -> Limiter:
        """The limiter of a pool; made where it is new (`limit=None`: unlimited until a header or a 429 says otherwise)."""
        with self._lock:
            limiter = self._pools.get(name)
            if limiter is None:
                limiter = self._pools[name] = Limiter(limit, interval_s, clock=self.clock)
                return limiter
        if limit is not None:
            limiter.update(limit, interval_s)
        return limiter

    def observe(self, look: Callable[[Answer], None]) -> None:
        """Show every answer, errors too, to `look`: the place to read limits and quotas from a vendor's headers."""
        self._observers.append(look)

    def use_account(self, account: str) -> None:
        """The account is known now (`connector:account_id`): the calls made so far are counted under it too."""
        with self._lock:
            old, self.account = self.account, account
            spent = self._spent
        if self.budget is not None:
            self.budget.move(old, account, spent)

    def told_quota(self, left: int, limit: int | None = None, resets_at: datetime | None = None) -> None:
        """What an answer says about the vendor's own daily quota; `resets_at`: when it is full again, where it says so."""
        self._tally["quota_left"], self._tally["quota_limit"] = left, -1 if limit is None else limit
        if self.budget is not None:
            self.budget.told(self.account, left=left, limit=limit, resets_at=resets_at)

    def session(
        self,
        *,
        judge: Judge = judge_handing_back,
        auth: Auth | None = None,
        base_url: str | None = None,
        endpoint_override: str | None = None,
        describe: Callable[[requests.PreparedRequest], Request] = describe_request,
    ) -> requests.Session:
        """A `requests.Session` whose every request goes through this policy: for simple-salesforce and for plain use.

        It has timeouts, reads bodies inside the retry, keeps no cookies and reads no .netrc. `auth` is applied only to URLs at `base_url`, so a
        redirect or a next-link cannot carry it elsewhere. `endpoint_override` swaps scheme and host of all requests (loopback only).
        Raises ConfigError for an address that is neither https nor loopback.
        """
        if auth is not None and base_url is None:
            raise ConfigError(f"{self.source_key}: a session with credentials needs the base_url that they are for.")
        adapter = PolicyAdapter(
            self,
            judge=judge,
            auth=auth,
            auth_url=base_url and checked_url(base_url, where=f"{self.source_key}: base_url"),
            override=endpoint_override
            and checked_url(endpoint_override, where=f"{self.source_key}: endpoint_override", loopback_only=True),
            describe=describe,
        )
        return adapter.new_session()

    # -- calling --------------------------------------------------------------------------------------------------------------

    def call(
        self,
        endpoint: str,
        send: Callable[[], T],
        judge: Judge = judge_status,
        cost: int = 1,
        *,
        pool: str = DEFAULT_POOL,
        renew: Auth | Callable[[], Any] | None = None,
    ) -> T:
        """Send one request until `judge` is content, and return what `send` returned (its body read completely).

        `send` must build the request anew each time (after a renewal the credentials are new). `renew` is asked when the judge says
        `reauth`: once per request, and once for all threads that were refused with the same credentials (pass the same object each time).
        Raises QuotaError (budget or daily quota), ConfigError (credentials), TransientError (retries used up), what the judge calls fatal,
        and what `send` raised where the judge hands it back.
        """
        tries = _Tries(self, endpoint, pool, self._flight(renew))
        while True:
            self._admit(endpoint, cost, pool)
            if isinstance(renew, Auth):
                renew.ready()
            version = tries.flight.version if tries.flight else 0
            outcome = self._send(send)
            self._look_at(endpoint, outcome)
            verdict = tries.settle(judge(outcome))
            if verdict.kind == "ok":
                if isinstance(outcome, Exception):
                    raise self.redactor.scrub(outcome)
                return outcome
            tries.act(verdict, outcome, version)

    def map(
        self,
        fn: Callable[[T], R],
        items: Iterable[T],
        *,
        workers: int = 8,
        ordered: bool = True,
        look_ahead: int | None = None,
    ) -> Iterator[R]:
        """`fn` of every item, `workers` at once behind the pools' limiters; at most `look_ahead` (default 2 x workers) unread results.

        Ordered: results come in the order of the items and an error at its place. Not ordered: results as they come; after an error what
        was under way is still yielded, then the first error is raised: use it where each call costs, so that nothing paid for is
        lost. Nothing starts before the first result is asked for; all threads have ended when the iterator ends or is closed.
        """
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        cancel = threading.Event()

        def run(item: T) -> R:
            before, self._worker.cancel = self._worker.cancel, cancel
            try:
                return fn(item)
            finally:
                self._worker.cancel = before

        ahead = max(workers, look_ahead or 2 * workers)
        crew = Workers(run, items, workers=workers, look_ahead=ahead, cancel=cancel)
        return crew.in_order() if ordered else crew.as_completed()

    @property
    def is_sending(self) -> bool:
        """True inside a `send` on this thread: a session's adapter then only sends, because the loop is already around it."""
        return self._worker.is_sending

    def report(self) -> CallReport:
        """Counts so far; cheap, may be asked at any time."""
        state = self.budget.state(self.account) if self.budget is not None else None
        with self._lock:
            told = "quota_left" in self._tally
            return CallReport(
                calls=dict(sorted(self._calls.items())),
                cost=dict(sorted(self._cost.items())),
                retries=self._tally["retries"],
                bursts=self._tally["bursts"],
                renewals=sum(flight.version for flight in self._flights.values()),
                waited_s=round(self._waited_s, 3),
                quota_left=self._tally["quota_left"] if told else None,
                quota_limit=self._tally["quota_limit"] if told and self._tally["quota_limit"] >= 0 else None,
                budget_left=state.left if state else None,
                notices=tuple(self._notices),
            )

    def wait(self, seconds: float) -> None:
        """Wait on the clock; a worker of `map` whose result is no longer wanted stops waiting."""
        cancel = self._worker.cancel
        if cancel is None:
            self.clock.sleep(seconds)
            return
        until = self.clock.monotonic() + seconds
        while (left := until - self.clock.monotonic()) > 0:
            if cancel.is_set():
                raise Cancelled
            self.clock.sleep(max(min(left, _LOOK_UP_S), 0.001))

    # -- inside the loop ------------------------------------------------------------------------------------------------------

    def _flight(self, renew: Auth | Callable[[], Any] | None) -> SingleFlight | None:
        if renew is None:
            return None
        with self._lock:
            flight = self._flights.get(renew)
            if flight is None:
                flight = renew.flight if isinstance(renew, Auth) else SingleFlight(renew)
                self._flights[renew] = flight
            return flight

    def _admit(self, endpoint: str, cost: int, pool: str) -> None:
        if self.budget is not None:
            self.budget.spend(self.account, cost)
            with self._lock:
                self._spent += cost
        waited = self.pool(pool).acquire(self.wait)
        with self._lock:
            name = endpoint if endpoint in self._calls or len(self._calls) < _MOST_ENDPOINTS else "(other)"
            self._calls[name] += 1
            self._cost[name] += cost
            self._waited_s += waited

    def _send(self, send: Callable[[], T]) -> T | Exception:
        with self._sending():
            try:
                outcome = send()
                if isinstance(outcome, urllib3.BaseHTTPResponse):
                    _ = outcome.data  # a body that is cut must fail here, where it can be read again
                return outcome
            except (MuaraError, Cancelled):
                raise
            except Exception as error:
                return error

    @contextmanager
    def _sending(self) -> Iterator[None]:
        before, self._worker.is_sending = self._worker.is_sending, True
        try:
            yield
        finally:
            self._worker.is_sending = before

    def _look_at(self, endpoint: str, outcome: Any) -> None:
        answer = Answer.of(outcome)
        if answer is None:
            return
        for notice in answer.notices():
            text = self.redactor.redact(f"{self.source_key}: {endpoint} {notice}")
            with self._lock:
                is_new = text not in self._notices and len(self._notices) < _MOST_ENDPOINTS
                if is_new:
                    self._notices[text] = None
            if is_new:
                log.warning("%s", text)
        for look in self._observers:
            look(answer)

    def _say_once(self, key: str, text: str) -> None:
        with self._lock:
            is_new = key not in self._said
            self._said.add(key)
        log.log(logging.INFO if is_new else logging.DEBUG, "%s", text)

    def _count(self, what: str, waited_s: float = 0.0) -> None:
        with self._lock:
            self._tally[what] += 1
            self._waited_s += waited_s


class _Tries:
    """What happened to one request so far, and what its next verdict leads to."""

    def __init__(self, policy: CallPolicy, endpoint: str, pool: str, flight: SingleFlight | None) -> None:
        self.flight = flight
        self._policy = policy
        self._rule = policy._rule
        self._where = f"{policy.source_key}: {endpoint}"
        self._pool = pool
        self._used: Counter[str] = Counter()
        self._started = policy.clock.monotonic()

    def settle(self, verdict: Verdict) -> Verdict:
        """Follow `then` where the tries of a verdict are used up or a renewal is impossible."""
        while verdict.then is not None:
            is_used_up = verdict.tries is not None and self._used[verdict.kind] >= verdict.tries
            if not is_used_up and not (verdict.kind == "reauth" and self.flight is None):
                break
            verdict = verdict.then
        return verdict

    def act(self, verdict: Verdict, outcome: Any, version: int) -> None:
        """Do what the verdict says, so that the request may be sent again; or raise."""
        self._used[verdict.kind] += 1
        if verdict.kind == "fatal":
            if isinstance(outcome, Exception) and verdict.error is outcome:
                raise self._policy.redactor.scrub(outcome)
            raise self._policy.redactor.scrub(self._told(verdict.error)) from None
        if verdict.kind == "daily":
            raise QuotaError(
                self._text(f"{verdict.reason}. The next sync goes on from here."), resumes_at=verdict.resumes_at
            )
        if verdict.kind == "reauth":
            self._renew(verdict, version)
        elif verdict.kind == "burst":
            self._slow_down(verdict, outcome)
        else:
            self._repeat(verdict, outcome)

    def _renew(self, verdict: Verdict, version: int) -> None:
        if self.flight is None or self._used["reauth"] > 1:
            raise ConfigError(
                self._text(f"{verdict.reason or 'credentials refused'}. Check the credentials of this source.")
            )
        self.flight.renew(version)

    def _slow_down(self, verdict: Verdict, outcome: Any) -> None:
        limiter = self._policy.pool(self._pool)
        asked = self._asked(verdict, outcome)
        if asked is not None and asked > self._rule.max_wait_s:
            raise QuotaError(
                self._text(
                    f"{verdict.reason}, and the source asks to wait {asked:.0f} s. The next sync after that goes on."
                ),
                resumes_at=self._policy.clock.now() + timedelta(seconds=asked),
            )
        wait = (limiter.interval_s if asked is None else asked) + self._jitter(self._used["burst"] - 1)
        most = self._rule.bursts if verdict.tries is None else verdict.tries
        if self._used["burst"] > most or self._is_late(wait):
            self._give_up(verdict, asked)
        self._policy._count("bursts")
        self._policy._say_once(
            f"burst {self._pool}", self._text(f"{verdict.reason}; all its calls wait {wait:.1f} s (said once)")
        )
        limiter.pause(wait)

    def _repeat(self, verdict: Verdict, outcome: Any) -> None:
        asked = self._asked(verdict, outcome)
        wait = self._jitter(self._used["retry"] - 1)
        if asked is not None:
            wait = min(asked, self._rule.max_wait_s) + self._jitter(0)
        most = self._rule.attempts - 1 if verdict.tries is None else verdict.tries
        if self._used["retry"] > most or self._is_late(wait):
            self._give_up(verdict, asked)
        self._policy._say_once(
            f"retry {self._where} {verdict.reason}",
            self._text(f"{verdict.reason}; tried again in {wait:.1f} s (said once)"),
        )
        self._policy._count("retries", wait)
        self._policy.wait(wait)

    def _give_up(self, verdict: Verdict, asked: float | None) -> None:
        spent = self._policy.clock.monotonic() - self._started
        times = self._used["retry"] + self._used["burst"]
        raise TransientError(
            self._text(
                f"{verdict.reason}; gave up after {times} tries in {spent:.0f} s. "
                "If it stays, check the network and the source's status page."
            ),
            retry_after_s=asked,
        )

    def _asked(self, verdict: Verdict, outcome: Any) -> float | None:
        if verdict.after_s is not None:
            return verdict.after_s
        answer = Answer.of(outcome)
        return None if answer is None else answer.retry_after_s(self._policy.clock.now())

    def _jitter(self, n: int) -> float:
        return self._policy._rng.uniform(0, min(self._rule.cap_s, self._rule.base_s * 2**n))

    def _is_late(self, wait: float) -> bool:
        return self._policy.clock.monotonic() - self._started + wait > self._rule.total_s

    def _told(self, error: Exception | None) -> Exception:
        if isinstance(error, MuaraError) and error.args and not str(error.args[0]).startswith(self._where):
            error.args = (f"{self._where}: {error.args[0]}", *error.args[1:])
        return error or ConfigError(self._text("refused"))

    def _text(self, words: str) -> str:
        return self._policy.redactor.redact(f"{self._where}: {words}")

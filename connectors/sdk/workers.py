"""A bounded number of calls at once: results in order or as they come, bounded look-ahead, no thread left behind."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Cancelled(Exception):  # noqa: N818 - not an error: another worker failed, or nobody wants the result any more
    """The worker was waiting for a turn that is no longer needed."""


class Workers(Generic[T, R]):
    """One run of `bounded_map`. `items` is only ever touched by the thread that consumes the results, so it may page by itself."""

    def __init__(
        self, fn: Callable[[T], R], items: Iterable[T], *, workers: int, look_ahead: int, cancel: threading.Event
    ) -> None:
        self._fn = fn
        self._items = iter(items)
        self._look_ahead = look_ahead
        self._cancel = cancel
        self._failed = threading.Event()
        self._producer_error: BaseException | None = None
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="muara-calls")
        self._is_exhausted = False

    def in_order(self) -> Iterator[R]:
        """Results in the order of the items. An error is raised at its place: everything before it has been yielded."""
        futures: deque[Future[R]] = deque()
        try:
            while True:
                while len(futures) < self._look_ahead and (future := self._start_next()) is not None:
                    futures.append(future)
                if not futures:
                    break
                yield futures.popleft().result()
            self._raise_producer_error()
        finally:
            self._end()

    def as_completed(self) -> Iterator[R]:
        """Results as they come. After an error nothing new starts; what was under way is still yielded, then the error is raised."""
        done: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
        pending = 0
        first_error: BaseException | None = None
        try:
            while True:
                while pending < self._look_ahead and (future := self._start_next()) is not None:
                    future.add_done_callback(done.put)
                    pending += 1
                if not pending:
                    break
                finished = done.get()
                pending -= 1
                try:
                    result = finished.result()
                except (Cancelled, CancelledError):
                    continue
                except Exception as error:
                    first_error = first_error or error
                    self._cancel.set()
                    continue
                yield result
            if first_error is not None:
                raise first_error
            self._raise_producer_error()
        finally:
            self._end()

    def _start_next(self) -> Future[R] | None:
        if self._is_exhausted or self._failed.is_set():
            return None
        try:
            item = next(self._items)
        except StopIteration:
            self._is_exhausted = True
            return None
        except Exception as error:
            # Calls already made are paid for: their results come first, then the producer's error.
            self._producer_error, self._is_exhausted = error, True
            return None
        return self._pool.submit(self._run, item)

    def _run(self, item: T) -> R:
        try:
            if self._cancel.is_set():
                raise Cancelled
            return self._fn(item)
        except BaseException:
            self._failed.set()
            raise

    def _raise_producer_error(self) -> None:
        if self._producer_error is not None:
            raise self._producer_error

    def _end(self) -> None:
        self._cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

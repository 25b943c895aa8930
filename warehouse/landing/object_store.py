"""Landing on object storage (`MUARA_LANDING=s3://bucket/prefix`), through obstore: `pip install muara[s3]`.

The manifest is put under a condition (If-Match / If-None-Match), so of two writers on two machines the second is refused and nothing is lost; the
OS lock keeps apart only the processes of one machine. Parts never change, and their names end in their digest; each is copied once into a
local folder, from which DuckDB reads it. Needs a store with strong consistency and conditional puts, as Amazon S3, MinIO, R2 and Ceph have.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from connectors.sdk.errors import ConfigError, MuaraError, TransientError
from warehouse.landing.store import ConflictError, Entry

#: Copies of parts beyond this many bytes go, the longest unused first.
CACHE_BYTES = 20_000_000_000
#: A copy that was asked for this recently stays: a build may be about to open it.
_IN_USE_S = 3600.0
_AT_ONCE = 8
#: How the digest stands in the name of a part (`warehouse.landing.spool.named_by_content`).
_NAMED = re.compile(r"-([0-9a-f]{12})\.")
_RETRIES = {"max_retries": 4}


class Bucket:
    """Where landing lies: `s3://bucket/prefix`, and how to get in (obstore's S3 settings by name; secrets are among them)."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None, *, cache_bytes: int = CACHE_BYTES) -> None:
        found = re.fullmatch(r"s3://([^/?#]+)(?:/([^?#]*))?", url)
        if found is None:
            raise ConfigError("MUARA_LANDING: expected a folder, or s3://bucket/prefix for object storage.")
        self.name, self.prefix = found[1], (found[2] or "").strip("/")
        self.options = dict(options or {})
        self.cache_bytes = cache_bytes

    @property
    def url(self) -> str:
        """The address, without anything secret."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    @property
    def folder(self) -> str:
        """A name for the local folder of this place: another bucket or endpoint never meets its copies."""
        endpoint = self.options.get("endpoint", "")
        digest = hashlib.sha256(f"{endpoint} {self.url}".encode()).hexdigest()[:12]
        return f"{re.sub(r'[^a-z0-9-]', '-', self.name.lower())}-{digest}"


class ObjectStore:
    """Landing in a bucket; implements `warehouse.landing.store.Store`. `local`: the folder for copies of parts and scratch data.

    Errors: ConfigError (no such bucket, no permission), TransientError (not reachable after retries), ConflictError (lost the race for a manifest).
    """

    def __init__(self, bucket: Bucket, local: Path, on_step: Callable[[str], None] | None = None) -> None:
        try:
            import obstore  # noqa: PLC0415 - an extra
            from obstore import store as places  # noqa: PLC0415
        except ImportError:
            raise ConfigError(
                "MUARA_LANDING is object storage, and the library for it is not installed: pip install 'muara[s3]'"
            ) from None
        self._api: Any = obstore
        self._bucket = bucket
        self._local = local
        self._on_step = on_step
        self._etags: dict[str, tuple[int, str]] = {}
        self._listed: set[str] = set()
        http = bucket.options.get("endpoint", "").startswith("http://")
        config: Any = {"region": "us-east-1", **bucket.options}
        self._place = places.S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            config=config,
            client_options={"allow_http": http},
            retry_config=_RETRIES,  # type: ignore[arg-type]
        )

    def get(self, key: str) -> bytes | None:
        """The object's bytes, None when there is none."""
        found = self.get_tagged(key)
        return None if found is None else found[0]

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and etag."""
        try:
            with self._told(key):
                answer = self._api.get(self._place, key)
                return bytes(answer.bytes()), answer.meta["e_tag"]
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Create or replace."""
        self.step(f"put {key}")
        with self._told(key):
            self._api.put(self._place, key, data)

    def put_if(self, key: str, data: bytes, etag: str | None) -> str:
        """Compare and replace, decided by the store. Raises ConflictError when somebody else wrote in between."""
        self.step(f"put {key}")
        mode: Any = "create" if etag is None else {"e_tag": etag}
        errors = self._api.exceptions
        try:
            with self._told(key):
                return str(self._api.put(self._place, key, data, mode=mode, use_multipart=False)["e_tag"])
        except (errors.AlreadyExistsError, errors.PreconditionError):
            # A put whose answer was lost is tried again by the library, and then finds what it has written itself.
            now = self.get_tagged(key)
            if now is not None and now[0] == data:
                return now[1]
            raise ConflictError(
                f"{self.where(key)} was changed by another machine in the meantime. What it committed stays, nothing of this run does. "
                "Run it again, and let one machine at a time sync a source."
            ) from None

    def put_file(self, key: str, path: Path) -> None:
        """Upload a finished local file; it stays as the local copy, since it will be read again."""
        self.step(f"put {key}")
        with self._told(key):
            etag = self._api.put(self._place, key, path)["e_tag"]
        self._etags[key] = (path.stat().st_size, etag)
        target = self._copy_of(key, etag)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)

    def delete(self, key: str) -> None:
        """Remove an object and its local copies."""
        self.step(f"delete {key}")
        with self._told(key), contextlib.suppress(FileNotFoundError):
            self._api.delete(self._place, key)
        found = self._etags.pop(key, None)
        if found is not None:
            self._copy_of(key, found[1]).unlink(missing_ok=True)

    def copy(self, key: str, to: str) -> None:
        """Copy inside the store."""
        self.step(f"copy {key}")
        with self._told(key):
            self._api.copy(self._place, key, to)

    def list(self, prefix: str) -> Iterator[Entry]:
        """All objects whose key begins with `prefix`, in the order of their keys."""
        for key, (size, _) in sorted(self._list(prefix).items()):
            yield Entry(key, size)

    def folders(self) -> tuple[str, ...]:
        """First parts of the keys, sorted."""
        with self._told(""):
            return tuple(sorted(self._api.list_with_delimiter(self._place)["common_prefixes"]))

    def size(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""
        found = self._found(key)
        return None if found is None else found[0]

    def sha256(self, key: str) -> str:
        """Hex digest of the local copy; one that no longer holds what was downloaded is downloaded again."""
        path = Path(self.locate(key))
        digest = _digest(path)
        named = _NAMED.search(path.name)
        if named and named[1] != digest[:12]:
            path.unlink(missing_ok=True)
            digest = _digest(Path(self.locate(key)))
        return digest

    def locate(self, key: str) -> str:
        """Path of the local copy, made now where it is missing. Raises FileNotFoundError when there is no such object."""
        found = self._found(key)
        if found is None:
            raise FileNotFoundError(self.where(key))
        size, etag = found
        target = self._copy_of(key, etag)
        if target.is_file() and target.stat().st_size == size:
            os.utime(target)
        else:
            self._download(key, target)
        return str(target)

    def fetch(self, keys: Iterable[str]) -> None:
        """Download what has no local copy yet, several at once, and let go of copies that nobody needed for long."""
        wanted = {key: found for key in keys if (found := self._found(key)) is not None}
        away = [key for key, (_, etag) in wanted.items() if not self._copy_of(key, etag).is_file()]
        if away:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="landing") as pool:
                # An object that is missing is for the caller to find, with its own words.
                list(pool.map(self._fetched, away))
            self._trim()

    def where(self, key: str) -> str:
        """The object's address."""
        return f"{self._bucket.url}/{key}"

    def scratch(self, source_key: str) -> Path:
        """A local folder."""
        folder = self._local / source_key / ".work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def step(self, what: str) -> None:
        """Tell the hook."""
        if self._on_step is not None:
            self._on_step(what)

    def _fetched(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.locate(key)

    def _found(self, key: str) -> tuple[int, str] | None:
        """Size and etag. What is in a folder of parts never changes, so one listing answers for all of them."""
        folder = key.rpartition("/")[0] + "/"
        if folder.endswith(("/parts/", "/sweeps/")):
            if key not in self._etags and folder not in self._listed:
                self._listed.add(folder)
                self._etags |= self._list(folder)
            if key in self._etags:
                return self._etags[key]
        try:
            with self._told(key):
                found = self._api.head(self._place, key)
        except FileNotFoundError:
            return None
        return found["size"], found["e_tag"]

    def _list(self, prefix: str) -> dict[str, tuple[int, str]]:
        folder = prefix.rpartition("/")[0]
        with self._told(prefix):
            pages = self._api.list(self._place, folder or None)
            found = {entry["path"]: (entry["size"], entry["e_tag"]) for page in pages for entry in page}
        return {key: value for key, value in found.items() if key.startswith(prefix)}

    def _copy_of(self, key: str, etag: str) -> Path:
        digest = hashlib.sha256(etag.encode()).hexdigest()[:8]
        return self._local / f"{key}.{digest}"

    def _download(self, key: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file, self._told(key):
                for chunk in self._api.get(self._place, key).stream():
                    file.write(chunk)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _trim(self) -> None:
        """Keep the local copies within their bound; those of the last hour stay in any case."""
        copies = sorted(
            (found.st_mtime, found.st_size, path)
            for path in self._local.glob("*/*/*")
            if path.parent.name in ("parts", "sweeps") and (found := path.stat())
        )
        excess = sum(size for _, size, _ in copies) - self._bucket.cache_bytes
        for used_at, size, path in copies:
            if excess <= 0 or time.time() - used_at < _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            excess -= size

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Errors of the library in words; its own texts show addresses and, further down, its innards."""
        errors = self._api.exceptions
        try:
            yield
        except (errors.AlreadyExistsError, errors.PreconditionError, MuaraError):
            raise
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise ConfigError(f"MUARA_LANDING: there is no bucket {self._bucket.name!r}.") from None
            raise
        except (errors.PermissionDeniedError, errors.UnauthenticatedError):
            raise ConfigError(
                f"MUARA_LANDING: {self.where(key)} is refused. The credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role) need "
                "s3:GetObject, PutObject, DeleteObject and ListBucket there."
            ) from None
        except errors.BaseError as error:
            self._failed(key, error)

    def _failed(self, key: str, error: Exception) -> NoReturn:
        words = str(error).split("\n", 1)[0]
        if "credential" in words.lower():
            raise ConfigError(f"MUARA_LANDING: no credentials for {self._bucket.url}: {words}") from None
        raise TransientError(f"landing {self.where(key)} cannot be reached: {words}") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

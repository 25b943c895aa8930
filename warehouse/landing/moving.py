"""Giving a source another name in landing, and removing it. Use both under the locks of all sources named.

Rows do not carry the source's name, so parts are copied as they are (a hard link, or inside the bucket); the manifest and the
reports are written anew.
"""

from __future__ import annotations

from typing import Any

import msgspec

from connectors.sdk.errors import ConfigError
from warehouse.landing.manifest import Account, Manifest, commit, manifest_key, read_manifest
from warehouse.landing.store import Store


def copied_as(store: Store, old: str, new: str) -> Manifest | None:
    """Copy all of `old` to `new`, its manifest last; returns the manifest, None when nothing was landed. Doing it twice does no harm.

    Raises ConfigError when `new` holds another source's data.
    """
    found, there = read_manifest(store, old), read_manifest(store, new)
    if found is None:
        return None
    manifest = found.manifest
    if there is not None and there.manifest.landing_id != manifest.landing_id:
        raise ConfigError(
            f"{store.where(new)} holds the data of another source. Remove it first, or choose another name."
        )
    if there is not None and there.manifest.sequence > manifest.sequence:
        return there.manifest  # an earlier attempt came this far, and a sync has gone on since
    for entry in list(store.list(f"{old}/")):
        path = entry.key.partition("/")[2]
        if path.startswith("syncs/"):
            told = _reports_of(new, store.get(entry.key) or b"", by_line=path.endswith(".ndjson"))
            store.put(f"{new}/{path}", told)
        elif path.startswith(("parts/", "sweeps/")):
            store.copy(entry.key, f"{new}/{path}")
    renamed = msgspec.structs.replace(
        manifest,
        source_key=new,
        account=_account_of(manifest.account, old, new),
        last_report=msgspec.Raw(_reports_of(new, bytes(manifest.last_report))),
    )
    commit(store, renamed, there.etag if there is not None else None)
    return renamed


def deleted(store: Store, source: str) -> int:
    """Remove everything of a source, its manifest first, so that what a crash leaves is no source any more. Returns the bytes freed."""
    freed = store.size(manifest_key(source)) or 0
    store.delete(manifest_key(source))
    for entry in list(store.list(f"{source}/")):
        freed += entry.size
        store.delete(entry.key)
    return freed


def _account_of(account: Account | None, old: str, new: str) -> Account | None:
    """Sheets belong to no account: their connector makes an id that ends in the source's name, which must go along."""
    if account is None or not account.account_id.endswith(f":{old}"):
        return account
    return msgspec.structs.replace(account, account_id=account.account_id.removesuffix(old) + new)


def _reports_of(source: str, data: bytes, *, by_line: bool = False) -> bytes:
    """A report, or one a line, under the source's new name; what is no report stays as it is."""
    if by_line:
        return b"".join(_reports_of(source, line) + b"\n" for line in data.splitlines())
    try:
        report: Any = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return data
    return msgspec.json.encode(report | {"source_key": source}) if isinstance(report, dict) else data

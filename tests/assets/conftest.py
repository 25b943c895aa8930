"""Syncs without the wait for the disk."""

from tests.warehouse.quick import quick_syncs

__all__ = ["quick_syncs"]

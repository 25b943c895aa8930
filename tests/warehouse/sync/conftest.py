"""These tests are about what landing decides and keeps, not about power cuts or the time it takes to open DuckDB."""

from tests.warehouse.quick import quick_syncs

__all__ = ["quick_syncs"]

"""The components that a project's YAML may name."""

from dagster_project.components.alerts import Alerts
from dagster_project.components.crm_source import CrmSource
from dagster_project.components.warehouse import Warehouse

__all__ = ["Alerts", "CrmSource", "Warehouse"]

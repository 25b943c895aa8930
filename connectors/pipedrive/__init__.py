"""The Pipedrive connector."""

from connectors.pipedrive.connector import Pipedrive

__all__ = ["Pipedrive"]

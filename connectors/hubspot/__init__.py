"""The HubSpot connector."""

from connectors.hubspot.connector import HubSpot

__all__ = ["HubSpot"]

"""Salesforce as a source of deals: settings, streams and promises stand in `connectors.salesforce.connector`."""

from connectors.salesforce.connector import Salesforce
from connectors.salesforce.settings import SalesforceSettings

__all__ = ["Salesforce", "SalesforceSettings"]

"""Salesforce as a source: see `connectors.salesforce.connector`."""

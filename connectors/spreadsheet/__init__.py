"""Spreadsheets as a source of deals. `Spreadsheet` is the connector; `connectors.spreadsheet.inspect` tells how a file would be read."""

from connectors.spreadsheet.connector import Spreadsheet
from connectors.spreadsheet.settings import SpreadsheetSettings

__all__ = ["Spreadsheet", "SpreadsheetSettings"]

"""All checks, in plain lists by what they are about."""

from connectors.testing.checks.increments import INCREMENTS
from connectors.testing.checks.rows import ROWS

CHECKS = [*ROWS, *INCREMENTS]

"""All checks, in plain lists by what they are about."""

from connectors.testing.check import Check
from connectors.testing.checks.form import FORM
from connectors.testing.checks.history import HISTORY
from connectors.testing.checks.increments import INCREMENTS
from connectors.testing.checks.limits import LIMITS
from connectors.testing.checks.presence import PRESENCE
from connectors.testing.checks.rows import ROWS
from connectors.testing.checks.values import VALUES

CHECKS: list[Check] = [*FORM, *ROWS, *INCREMENTS, *HISTORY, *PRESENCE, *LIMITS, *VALUES]

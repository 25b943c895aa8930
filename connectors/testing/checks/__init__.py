"""All checks, in plain lists by what they are about."""

from connectors.testing.checks.history import HISTORY
from connectors.testing.checks.increments import INCREMENTS
from connectors.testing.checks.limits import LIMITS
from connectors.testing.checks.presence import PRESENCE
from connectors.testing.checks.rows import ROWS

CHECKS = [*ROWS, *INCREMENTS, *HISTORY, *PRESENCE, *LIMITS]

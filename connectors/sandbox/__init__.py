"""Fake CRM servers over one made-up world, for tests and the demo. Shares no code with the connectors, on purpose."""

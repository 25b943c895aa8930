"""A sandbox in a process of its own; see `connectors.sandbox.standalone`."""

from connectors.sandbox.salesforce import serve
from connectors.sandbox.standalone import main

if __name__ == "__main__":
    main("salesforce", serve)

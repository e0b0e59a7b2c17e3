"""Models from elsewhere, as long as no registry is reached: those that come with the program."""

from modelstore import bundled
from modelstore.errors import StoreError
from modelstore.names import Name
from modelstore.progress import Report
from modelstore.store import Store


class PushRefused(StoreError):
    """There is no place to send `name` to."""

    def __init__(self, name: str) -> None:
        super().__init__(f"pushing {name} needs a registry")
        self.name = name


class BundledTransfers:
    """Pulls what is packaged; any other name does not exist."""

    def pull(self, store: Store, name: Name, report: Report, *, insecure: bool = False) -> None:
        """Raises `StoreError`."""
        if name.scheme == "http" and not insecure:
            raise StoreError("insecure protocol http")
        bundled.pull(store, name, report)

    def push(self, store: Store, name: Name, report: Report, *, insecure: bool = False) -> None:
        """Raises `StoreError`."""
        if name.scheme == "http" and not insecure:
            raise StoreError("insecure protocol http")
        raise PushRefused(name.short)

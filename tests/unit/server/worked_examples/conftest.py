"""A daemon with the models of the examples."""

import pytest

from server.services import Services
from tests.unit.server.worked_examples.shop import stock


@pytest.fixture
def shop(services: Services) -> Services:
    stock(services.store)
    return services

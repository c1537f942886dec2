"""For every test: one thread and a fixed seed, so that what passes once passes always."""

import pytest
import torch

pytest.register_assert_rewrite("browser", "commands", "killed")  # so that their failures tell the values


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: of several workers none is left with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)

"""For every test: one thread and a fixed seed, so that what passes once passes always."""

import pytest
import torch

pytest.register_assert_rewrite("browser", "commands", "killed")  # so that their failures tell the values


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)

import pytest
import torch

from rvq_core.training import TrainSettings
from rvq_core.training.schedule import learning_rate


def test_it_rises_in_equal_steps_and_falls_as_torch_has_it():
    settings = TrainSettings(iterations=50, warm_up=10, learning_rate=2.0)
    rising = [learning_rate(settings, step) for step in range(10)]
    assert rising == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=2.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.1)
    for step in range(10, 51):
        assert learning_rate(settings, step) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_constant_stays_after_the_rise():
    settings = TrainSettings(iterations=50, warm_up=4, learning_rate=2.0, schedule="constant")
    assert [learning_rate(settings, step) for step in (0, 3, 4, 20, 49)] == [0.5, 2.0, 2.0, 2.0, 2.0]

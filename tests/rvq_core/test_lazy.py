import sys
from types import ModuleType

import pytest

from rvq_core.lazy import imported_on_use


@pytest.fixture
def package(monkeypatch):
    made = ModuleType("made_up_package")
    made.__getattr__ = imported_on_use("made_up_package", {"sqrt": "math"})
    monkeypatch.setitem(sys.modules, "made_up_package", made)
    return made


def test_a_name_comes_from_its_module_and_stays(package):
    import math

    assert "sqrt" not in vars(package)
    assert package.sqrt is math.sqrt
    assert vars(package)["sqrt"] is math.sqrt


def test_other_names_are_refused_as_a_module_does(package):
    with pytest.raises(AttributeError, match="module 'made_up_package' has no attribute 'pi'"):
        package.pi  # noqa: B018 - asked for what it raises

"""Results in memory: made once, by one at a time, the longest unused given up first."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest

from dashboard.kept import Kept, nbytes


@dataclass
class Motion:
    joints: np.ndarray
    errors: tuple
    name: str = "walk"


def test_bytes_are_those_of_all_arrays():
    one = np.zeros(10)
    assert nbytes(one) == 80
    assert nbytes(Motion(one, (one, {"a": [one, None]}))) == 240
    assert nbytes("text") == nbytes(None) == nbytes(Motion) == 0


def test_a_result_is_made_once_and_the_longest_unused_goes():
    kept, made = Kept(200), []

    def make(name: str):
        return kept.get(name, lambda: made.append(name) or np.zeros(10))

    first = make("a")
    assert make("a") is first and made == ["a"]
    make("b")
    make("a")  # used again: b is now the longest unused
    make("c")
    assert kept.bytes == 160
    make("a")
    assert made == ["a", "b", "c"]
    make("b")
    assert made == ["a", "b", "c", "b"]


def test_one_that_is_larger_than_all_is_kept_until_the_next():
    kept = Kept(100)
    kept.get("small", lambda: np.zeros(1))
    kept.get("large", lambda: np.zeros(1000))
    assert kept.bytes == 8000
    kept.get("small", lambda: np.zeros(1))
    assert kept.bytes == 8


def test_who_asks_for_one_that_is_being_made_waits_for_it():
    kept, begun, go, made = Kept(1000), threading.Event(), threading.Event(), []

    def slow():
        made.append(1)
        begun.set()
        assert go.wait(10)
        return np.arange(3)

    found = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("one", slow))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert kept.get("other", lambda: 5) == 5  # another one is not held up
    go.set()
    for thread in threads:
        thread.join(10)
    assert made == [1] and len(found) == 4 and all(one is found[0] for one in found)


def test_after_an_error_it_is_tried_again():
    kept = Kept(100)
    with pytest.raises(ValueError, match="broken"):
        kept.get("a", lambda: (_ for _ in ()).throw(ValueError("broken")))
    assert kept.get("a", lambda: 7) == 7

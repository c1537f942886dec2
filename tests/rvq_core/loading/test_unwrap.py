"""The state dict inside a file: which container is opened, what is taken off keys, which keys are kept."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rvq_core.errors import CheckpointError
from rvq_core.loading.read import RawFile
from rvq_core.loading.unwrap import State, unwrap


def unwrapped(content: dict) -> State:
    return unwrap(RawFile(Path("net.pth"), "net", "0", content, {}))


def ones(*keys: str) -> dict[str, Tensor]:
    return {key: torch.ones(1) for key in keys}


def test_a_state_dict_at_the_top():
    state = unwrapped({"quantizer.codebook": torch.ones(2, 3), "epoch": 7})
    assert (list(state.tensors), state.container, state.prefixes) == (["quantizer.codebook"], "", ())
    assert state.where == "net.pth"


def test_the_first_container_that_holds_tensors_is_opened():
    state = unwrapped({"vq_model": {"epoch": 1}, "net": 5, "model": ones("a"), "state_dict": ones("b")})
    assert (state.container, list(state.tensors)) == ("state_dict", ["b"])


def test_gradients_end_at_the_file():
    assert not unwrapped({"a": torch.ones(1, requires_grad=True)}).tensors["a"].requires_grad


@pytest.mark.parametrize("inner", ["quantizer.layers.0.codebook", "my_codebook", "quantizer.x"])
def test_what_stands_before_a_quantizer_is_taken_off(inner: str):
    state = unwrapped(ones(f"module.vqvae.{inner}", "module.vqvae.encoder.0", "module.text.0", "beside"))
    assert list(state.tensors) == [inner, "encoder.0"]
    assert state.prefixes == ("module.", "vqvae.")


def test_other_models_keep_their_names():
    keys = ["module.encoder.0", "text.quantizer.codebook"]
    state = unwrapped(ones(*keys))
    assert (list(state.tensors), state.prefixes) == (keys, ())


def test_keys_are_printable_words_of_512_characters_at_most():
    kept = ["k" * 512, "é"]
    assert list(unwrapped(ones(*kept, "k" * 513, "a\n", "\x1b[31m")).tensors) == kept


def test_what_a_file_without_tensors_holds_is_told_in_part():
    content = {"x" * 100: 1, 5: 2} | dict.fromkeys("abcdef")
    with pytest.raises(CheckpointError) as told:
        unwrapped(content)
    assert told.value.found == f"{repr('x' * 100)[:80]}, 'a', 'b', 'c', 'd'"
    with pytest.raises(CheckpointError, match="found nothing; save the model's state_dict"):
        unwrapped({})

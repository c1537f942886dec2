"""The checkpoint formats that can be opened, one small file each, tried in this order."""

from rvq_core.loading.formats import codebooks, convolutional, emage, native, vector_quantize
from rvq_core.loading.formats.base import Format

FORMATS: tuple[Format, ...] = (
    native.FORMAT,
    convolutional.GESTURELSM,
    convolutional.SYNTALKER,
    convolutional.MOMASK,
    convolutional.MOTIONGPT,
    convolutional.T2M_GPT,
    emage.FORMAT,
    vector_quantize.FORMAT,
    codebooks.FORMAT,
)

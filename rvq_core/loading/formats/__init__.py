"""The checkpoint formats that can be opened, one small file each, tried in this order."""

from rvq_core.loading.formats import native
from rvq_core.loading.formats.base import Format

FORMATS: tuple[Format, ...] = (native.FORMAT,)

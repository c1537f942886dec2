"""Motion clips: readers, skeletons, and representations (features <-> joints)."""

from rvq_core.clips.clip import Clip, fingerprint
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.load import ClipSet, LeftOut, load_clips, read_clips
from rvq_core.clips.representations import Representation, get_representation, guess_representation
from rvq_core.clips.resample import resample_clip
from rvq_core.clips.skeleton import Skeleton

__all__ = [
    "Clip",
    "ClipSet",
    "LeftOut",
    "Representation",
    "Skeleton",
    "fingerprint",
    "fit_clip",
    "get_representation",
    "guess_representation",
    "load_clips",
    "read_clips",
    "resample_clip",
]

"""Make the bundled clips from the motions that two packages carry.

    pip download --no-deps pybullet==3.2.7
    apt-get download assimp-testmodels && dpkg-deb -x assimp-testmodels_*.deb assimp
    python clips/make_clips.py pybullet-3.2.7-*.whl assimp/usr/share/assimp/models/BVH

Takes wheels, and folders that hold ``humanoid3d_*.txt`` or ``01_01.bvh`` and ``01_03.bvh``. Writes BEAT2-style ``.npz``
beside this script, or into ``--out``: `poses` (T, 165) axis-angle of the 55 SMPL-X joints and `trans` (T, 3), float32,
metres, y up, and `mocap_frame_rate`. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from rvq_core.clips import bvh, deepmimic
from rvq_core.clips.motion import SmplxMotion

DEEPMIMIC = "humanoid3d_*.txt"
CMU = ("01_01.bvh", "01_03.bvh")

CMU_STEP = 4
"""Of CMU's 120 frames a second every fourth is kept."""

LONGEST_PART = 15.0
"""Seconds; a longer take is cut into equal parts."""


def main() -> None:
    """Convert every motion of the sources and print a table of what was written."""
    parser = argparse.ArgumentParser(description="Make the bundled clips from pybullet and assimp-testmodels.")
    parser.add_argument("sources", type=Path, nargs="+", help="pybullet wheel, folders with the motions")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for source in options.sources:
        with tempfile.TemporaryDirectory() as scratch:
            written = convert_all(source if source.is_dir() else unpack(source, Path(scratch)), options.out)
        if not written:
            parser.error(f"{source}: expected {DEEPMIMIC} or {', '.join(CMU)}, found none; see --help")
        print("\n".join(written))


def unpack(wheel: Path, folder: Path) -> Path:
    """Copy the motions out of ``wheel`` into ``folder``, without their paths."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if Path(name).match(f"pybullet_data/data/motions/{DEEPMIMIC}"):
                (folder / Path(name).name).write_bytes(archive.read(name))
    return folder


def convert_all(folder: Path, out: Path) -> list[str]:
    """Write every motion of ``folder`` as ``.npz`` and return their lines of the README's table."""
    lines = [write(path.stem, deepmimic.read_motion(path), out) for path in sorted(folder.glob(DEEPMIMIC))]
    for path in (folder / name for name in CMU):
        if path.is_file():
            lines += [write(name, part, out) for name, part in parts(path.stem, bvh.read_motion(path))]
    return lines


def parts(name: str, motion: SmplxMotion) -> Iterator[tuple[str, SmplxMotion]]:
    """Every fourth frame of a take, cut into equal parts of at most 15 seconds: ``01_01_part1``, ..."""
    thinned = motion._replace(
        rotations=motion.rotations[::CMU_STEP], translation=motion.translation[::CMU_STEP], fps=motion.fps / CMU_STEP
    )
    frames = len(thinned.rotations)
    count = int(np.ceil(frames / thinned.fps / LONGEST_PART))
    for number, chosen in enumerate(np.array_split(np.arange(frames), count), start=1):
        part = thinned._replace(rotations=thinned.rotations[chosen], translation=thinned.translation[chosen])
        yield f"{name}_part{number}", part


def write(name: str, motion: SmplxMotion, out: Path) -> str:
    """Write one motion and return its line of the README's table."""
    frames = len(motion.rotations)
    poses = Rotation.from_matrix(motion.rotations.reshape(-1, 3, 3)).as_rotvec().reshape(frames, -1)
    # Rounded, because the last bits of a sine differ between machines. numpy.savez writes no time of day.
    np.savez(
        out / f"{name}.npz",
        poses=_rounded(poses),
        trans=_rounded(motion.translation),
        mocap_frame_rate=np.int32(motion.fps) if motion.fps.is_integer() else np.float64(motion.fps),
    )
    return f"| `{name}.npz` | {frames} | {motion.fps:g} | {frames / motion.fps:.2f} |"


def _rounded(values: np.ndarray) -> np.ndarray:
    # Adding zero turns -0.0 into 0.0.
    return np.round(values, 6).astype(np.float32) + np.float32(0)


if __name__ == "__main__":
    main()

"""Make the bundled clips from the reference motions that the pybullet wheel carries.

    pip download --no-deps pybullet==3.2.7
    python clips/make_clips.py pybullet-3.2.7-*.whl

Takes the wheel, or a folder that holds ``humanoid3d_*.txt``. Writes one BEAT2-style ``.npz`` a motion beside this
script, or into ``--out``: `poses` (T, 165) axis-angle of the 55 SMPL-X joints and `trans` (T, 3), float32, metres,
y up, and `mocap_frame_rate`. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from rvq_core.clips.deepmimic import read_motion

PATTERN = "humanoid3d_*.txt"


def main() -> None:
    """Convert every motion of the source and print a table of what was written."""
    parser = argparse.ArgumentParser(description="Make the bundled clips from the motions of the pybullet wheel.")
    parser.add_argument("source", type=Path, help="pybullet wheel, or a folder with humanoid3d_*.txt")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.source if options.source.is_dir() else unpack(options.source, Path(scratch))
        motions = sorted(folder.glob(PATTERN))
        if not motions:
            parser.error(f"{options.source}: expected {PATTERN}, found none; give the pybullet 3.2.7 wheel")
        for path in motions:
            print(convert(path, options.out))


def unpack(wheel: Path, folder: Path) -> Path:
    """Copy the motions out of ``wheel`` into ``folder``, without their paths."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if Path(name).match(f"pybullet_data/data/motions/{PATTERN}"):
                (folder / Path(name).name).write_bytes(archive.read(name))
    return folder


def convert(path: Path, out: Path) -> str:
    """Write one motion as ``.npz`` and return its line of the README's table."""
    motion = read_motion(path)
    frames = len(motion.rotations)
    poses = Rotation.from_matrix(motion.rotations.reshape(-1, 3, 3)).as_rotvec().reshape(frames, -1)
    # Rounded, because the last bits of a sine differ between machines. numpy.savez writes no time of day.
    np.savez(
        out / f"{path.stem}.npz",
        poses=_rounded(poses),
        trans=_rounded(motion.translation),
        mocap_frame_rate=np.int32(motion.fps) if motion.fps.is_integer() else np.float64(motion.fps),
    )
    return f"| `{path.stem}.npz` | {frames} | {motion.fps:g} | {frames / motion.fps:.2f} |"


def _rounded(values: np.ndarray) -> np.ndarray:
    # Adding zero turns -0.0 into 0.0.
    return np.round(values, 6).astype(np.float32) + np.float32(0)


if __name__ == "__main__":
    main()

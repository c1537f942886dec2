"""README and docs as tests read them: their code, their commands, and a folder with the files that they name."""

import re
import shutil
from pathlib import Path

import numpy as np
import torch

from rvq_core import RVQVAE, RVQVAEConfig
from rvq_core.loading import Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native

ROOT = Path(__file__).resolve().parents[2]
OF_THE_ROOT = ("README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md")
PAGES = sorted([*(ROOT / name for name in OF_THE_ROOT), *ROOT.glob("docs/**/*.md"), *ROOT.glob("c*/README.md")])

PROGRAMS = ("rvq-lens", "python", "make", "pip", "apt-get")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    """Its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def fenced(page: Path) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return FENCED.findall(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> list[str]:
    """The Python of a page."""
    return [code for language, code in fenced(page) if language == "python"]


def indented(page: Path) -> list[str]:
    """The lines of indented blocks; one that goes on, after a backslash or further to the right, is one line."""
    lines: list[str] = []
    for line in FENCED.sub("", page.read_text(encoding="utf-8")).splitlines():
        if lines and (lines[-1].endswith("\\") or re.match(r" {6,}\S", line)):
            lines[-1] = f"{lines[-1].removesuffix(chr(92)).rstrip()} {line.strip()}"
        elif re.match(r" {4}\S", line):
            lines.append(line.strip())
    return lines


def inline(page: Path) -> list[str]:
    """What stands between backticks in running text."""
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text(encoding="utf-8")))


def commands(page: Path) -> list[str]:
    """Every command of a page as it is written, in its order of blocks, then of running text.

    A command of rvq-lens that is only named (`rvq-lens analyze`) is none.
    """
    named = [text for text in inline(page) if len(text.split()) > (2 if text.startswith("rvq-lens") else 1)]
    found = [text.removeprefix(".venv/bin/").partition(" #")[0].rstrip() for text in (*indented(page), *named)]
    return list(dict.fromkeys(text for text in found if text.split()[0] in PROGRAMS))


def lay_out(folder: Path) -> None:
    """Write what the texts name: the checkpoints, some of the clips, and a reader's own files, all of them small."""
    (folder / "checkpoints").symlink_to(ROOT / "checkpoints")
    for name in ("clips", "my_clips", "corpus/cmu", "corpus/deepmimic"):
        (folder / name).mkdir(parents=True)
    for clip in ("jump", "kick", "punch", "run", "spinkick", "walk"):
        for name in ("clips", "my_clips", "corpus/deepmimic"):
            shutil.copy(ROOT / f"clips/humanoid3d_{clip}.npz", folder / name)
    for take in ("01_01", "01_03", "01_07", "02_05", "02_08", "03_03", "humanoid3d_dance_a"):
        shutil.copy(ROOT / "clips/humanoid3d_walk.npz", folder / f"corpus/cmu/{take}.npz")
    model = RVQVAE(RVQVAEConfig(input_dim=263, width=8, code_dim=4, nb_code=8, num_quantizers=2, depth=1))
    for name in ("net_best_fid.tar", "net_last.pth"):
        torch.save({"vq_model": model.state_dict()}, folder / name)
    np.save(folder / "Mean.npy", np.zeros(263, np.float32))
    np.save(folder / "Std.npy", np.ones(263, np.float32))
    torch.save({f"quantizer.layers.{q}.codebook": torch.randn(8, 4) for q in range(2)}, folder / "codebooks.pt")
    np.save(folder / "latents.npy", np.random.default_rng(0).normal(size=(3, 4, 40)).astype(np.float32))
    (folder / "new_joint_vecs").mkdir()
    for name in ("000001", "000002"):
        features = np.random.default_rng(int(name)).normal(size=(40, 263)).astype(np.float32)
        np.save(folder / f"new_joint_vecs/{name}.npy", features)
    (folder / "test.txt").write_text("000001\n000002\n", encoding="utf-8")
    (folder / "bones.toml").write_text('left_hip = "LeftUpLeg"\n', encoding="utf-8")
    (folder / "split.txt").write_text("humanoid3d_walk\nhumanoid3d_kick\n", encoding="utf-8")
    (folder / "limits.toml").write_text("max_unseen = 0.9\n", encoding="utf-8")
    (folder / "my_parts").mkdir()
    for part, width in (("upper", 78), ("hands", 180), ("lower", 54)):
        _save_part(folder / f"my_parts/{part}.safetensors", f"smplx_rot6d_{part}", width)


def _save_part(path: Path, representation: str, width: int) -> None:
    config = RVQVAEConfig(input_dim=width, width=8, code_dim=4, nb_code=8, num_quantizers=2, depth=1)
    model = RVQVAE(config)
    for layer in model.quantizer.ema_layers():
        layer.codebook.copy_(torch.randn(8, 4))
        layer.init.fill_(True)
    normalizer = Normalizer(torch.zeros(width), torch.ones(width))
    save_native(path, model, normalizer, NativeHeader(config, representation, 30.0, {}))

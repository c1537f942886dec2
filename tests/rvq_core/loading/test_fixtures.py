"""The real files of other projects against what their own code computed; skipped where they are absent."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rvq_core import load_checkpoint

FIXTURES = Path(__file__).resolve().parents[3].parent / "shared" / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs ../shared/fixtures")

MOMASK = "momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2"
# file, folder of expected.npz, format, our commitment loss over theirs
WHOLE_MODELS = [
    (f"{MOMASK}/model/latest.tar", MOMASK, "momask", 2),
    (f"{MOMASK}/model/net_best_fid.tar", MOMASK, "momask", 2),
    (MOMASK, MOMASK, "momask", 2),
    ("syntalker/RVQVAE_upper/net_200000.pth", "syntalker/RVQVAE_upper", "syntalker", 2),
    ("syntalker/RVQVAE_whole330/net_200000.pth", "syntalker/RVQVAE_whole330", "syntalker", 2),
    ("gesturelsm/RVQVAE_upper/net_80000.pth", "gesturelsm/RVQVAE_upper", "gesturelsm", 1),
    ("t2mgpt/VQVAE/net_last.pth", "t2mgpt/VQVAE", "t2m-gpt", 2),
    ("t2mgpt/VQVAE/net_best_fid.pth", "t2mgpt/VQVAE", "t2m-gpt", 2),
    ("motiongpt/checkpoints/epoch=99.ckpt", "motiongpt", "motiongpt", 2),
    ("emage_vq_upper", "emage_vq_upper", "emage", 1),
    ("emage_vq_upper/last_490.bin", "emage_vq_upper", "emage", 1),
]


@pytest.fixture(params=WHOLE_MODELS, ids=[row[0] for row in WHOLE_MODELS])
def case(request):
    file, folder, form, factor = request.param
    return load_checkpoint(FIXTURES / file), dict(np.load(FIXTURES / folder / "expected.npz")), form, factor


def test_latents_tokens_and_reconstructions_are_theirs(case):
    ckpt, expected, form, factor = case
    assert ckpt.format == form
    z = ckpt.model.encode(torch.from_numpy(expected["motion"]))
    assert np.abs(z.numpy() - expected["latent"]).max() < 1e-5
    quantized, indices, commit_loss, _ = ckpt.quantizer(z)
    assert np.array_equal(indices.numpy(), expected["indices"].reshape(indices.shape))
    assert np.abs(quantized.numpy() - expected["quantized"]).max() < 1e-5
    assert np.abs(ckpt.model.decode(quantized).numpy() - expected["recon"]).max() < 1e-5
    assert commit_loss.item() == pytest.approx(factor * float(expected["commit_loss"]), rel=1e-5)


def test_every_prefix_of_layers_is_theirs(case):
    ckpt, expected, _, factor = case
    if "recon_k" not in expected:
        pytest.skip("a single layer has no prefixes")
    z = torch.from_numpy(expected["latent"])
    for k, recon in enumerate(expected["recon_k"], start=1):
        quantized, indices, commit_loss, perplexity = ckpt.quantizer(z, force_dropout_index=k)
        assert np.array_equal(indices.numpy(), expected["indices_k"][k - 1])
        assert np.abs(ckpt.model.decode(quantized).numpy() - recon).max() < 1e-5
        assert commit_loss.item() == pytest.approx(factor * expected["commit_k"][k - 1], rel=1e-5)
        assert perplexity.item() == pytest.approx(expected["perplexity_k"][k - 1], rel=1e-5)


def test_codebooks_act_as_theirs(case):
    ckpt, expected, _, _ = case
    books = expected.get("codebooks_projected", expected.get("codebooks", expected.get("codebook")))
    found = np.stack([book.numpy() for book in ckpt.codebooks])
    assert np.abs(found - books.reshape(found.shape)).max() < 1e-5


@pytest.mark.parametrize("file", ["residual_vq.pt", "autoencoder.pt"])
def test_vector_quantize_pytorch_opens_as_codebooks(file):
    ckpt = load_checkpoint(FIXTURES / "lucidrains" / file)
    expected = np.load(FIXTURES / "lucidrains/expected.npz")
    assert ckpt.format == "lucidrains" and ckpt.model is None
    z = torch.from_numpy(expected["latent"]).transpose(1, 2)  # theirs are channel-last
    for k, output in enumerate(expected["output_first_k"], start=1):
        quantized, indices, *_ = ckpt.quantizer(z, force_dropout_index=k)
        assert np.abs(quantized.transpose(1, 2).numpy() - output).max() < 1e-5
    assert np.array_equal(indices.numpy(), expected["indices"])
    assert (
        np.abs(
            ckpt.quantizer.get_codebook_entry(indices).transpose(1, 2).numpy() - expected["output_from_indices"]
        ).max()
        < 1e-5
    )
    assert np.allclose(np.stack([count.numpy() for count in ckpt.ema_counts]), expected["cluster_size"])


def test_statistics_are_found_where_the_projects_keep_them():
    momask = load_checkpoint(FIXTURES / MOMASK)
    assert np.allclose(momask.normalizer.mean, np.load(FIXTURES / MOMASK / "meta/mean.npy"))
    whole = np.load(FIXTURES / "syntalker/mean_std/beatx_2_330_mean.npy")
    assert np.allclose(load_checkpoint(FIXTURES / "syntalker/RVQVAE_whole330/net_200000.pth").normalizer.mean, whole)
    upper = [6 * joint + i for joint in (3, 6, 9, *range(12, 22)) for i in range(6)]
    assert np.allclose(
        load_checkpoint(FIXTURES / "syntalker/RVQVAE_upper/net_200000.pth").normalizer.mean, whole[upper]
    )

"""RVQ Lens, the computing part: quantizer, model, checkpoints, clips, statistics, reports and training.

Names are imported when first used, so that ``import rvq_core`` and ``rvq-lens --help`` do not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvq_core.lazy import imported_on_use

if TYPE_CHECKING:
    from rvq_core.analysis import analyze as analyze
    from rvq_core.autoencoder import RVQVAE as RVQVAE
    from rvq_core.autoencoder import RVQVAEConfig as RVQVAEConfig
    from rvq_core.clips import load_clips as load_clips
    from rvq_core.ema_layer import QuantizeEMAReset as QuantizeEMAReset
    from rvq_core.errors import RVQLensError as RVQLensError
    from rvq_core.loading import load_checkpoint as load_checkpoint
    from rvq_core.quantizer import ResidualVQ as ResidualVQ
    from rvq_core.report import Report as Report
    from rvq_core.training.survival import code_survival as code_survival

__version__ = "0.1.0"

_HOMES = {
    "QuantizeEMAReset": "rvq_core.ema_layer",
    "RVQLensError": "rvq_core.errors",
    "RVQVAE": "rvq_core.autoencoder",
    "RVQVAEConfig": "rvq_core.autoencoder",
    "Report": "rvq_core.report",
    "ResidualVQ": "rvq_core.quantizer",
    "analyze": "rvq_core.analysis",
    "code_survival": "rvq_core.training.survival",
    "load_checkpoint": "rvq_core.loading",
    "load_clips": "rvq_core.clips",
}

__all__ = [
    "RVQVAE",
    "QuantizeEMAReset",
    "RVQLensError",
    "RVQVAEConfig",
    "Report",
    "ResidualVQ",
    "analyze",
    "code_survival",
    "load_checkpoint",
    "load_clips",
]

__getattr__ = imported_on_use(__name__, _HOMES)

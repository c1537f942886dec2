"""The published forward of a residual quantizer, re-implemented for comparison from its public description.

Full distances, one-hot matrices for the EMA sums, codes looked up by a gather over repeated codebooks. Nothing outside
the benchmarks uses it. Shapes: latents [B, C, T], indices [B, T, Q], codebooks [Q, K, C].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PublishedLayer(nn.Module):
    """One EMA codebook [K, C]; codes that fall below one hit a batch are overwritten with rows of the batch."""

    codebook: Tensor
    code_sum: Tensor
    code_count: Tensor

    def __init__(self, codebook: Tensor, mu: float = 0.99) -> None:
        super().__init__()
        self.mu = mu
        self.register_buffer("codebook", codebook.clone())
        self.register_buffer("code_sum", codebook.clone())
        self.register_buffer("code_count", torch.ones(len(codebook)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents [B, C, T] -> (codes [B, C, T], indices [B, T], loss [], perplexity [])."""
        tokens = x.permute(0, 2, 1).contiguous().view(-1, x.shape[1])
        transposed = self.codebook.t()
        distance = (
            torch.sum(tokens**2, dim=-1, keepdim=True)
            - 2 * torch.matmul(tokens, transposed)
            + torch.sum(transposed**2, dim=0, keepdim=True)
        )
        indices = (-distance).argmax(dim=-1)
        codes = F.embedding(indices, self.codebook)
        perplexity = self._update(tokens.detach(), indices) if self.training else self._perplexity(indices)
        loss = F.mse_loss(tokens, codes.detach())
        codes = tokens + (codes - tokens).detach()
        codes = codes.view(x.shape[0], -1, x.shape[1]).permute(0, 2, 1).contiguous()
        return codes, indices.view(x.shape[0], -1), loss, perplexity

    def _one_hot(self, indices: Tensor) -> Tensor:
        """[K, N]."""
        return torch.zeros(len(self.codebook), len(indices)).scatter_(0, indices.view(1, -1), 1)

    @torch.no_grad()
    def _perplexity(self, indices: Tensor) -> Tensor:
        counts = self._one_hot(indices).sum(dim=-1)
        share = counts / counts.sum()
        return torch.exp(-torch.sum(share * torch.log(share + 1e-7)))

    @torch.no_grad()
    def _update(self, tokens: Tensor, indices: Tensor) -> Tensor:
        one_hot = self._one_hot(indices)
        counts = one_hot.sum(dim=-1)
        self.code_sum = self.mu * self.code_sum + (1 - self.mu) * torch.matmul(one_hot, tokens)
        self.code_count = self.mu * self.code_count + (1 - self.mu) * counts
        codes = len(self.codebook)
        tiled = tokens if len(tokens) >= codes else tokens.repeat(-(-codes // len(tokens)), 1)
        used = (self.code_count.view(codes, 1) >= 1.0).float()
        means = self.code_sum.view(codes, -1) / self.code_count.view(codes, 1)
        self.codebook = used * means + (1 - used) * tiled[:codes]
        share = counts / torch.sum(counts)
        return torch.exp(-torch.sum(share * torch.log(share + 1e-7)))


class PublishedResidualVQ(nn.Module):
    """The stack of them."""

    def __init__(self, codebooks: Tensor) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PublishedLayer(codebook) for codebook in codebooks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents [B, C, T] -> (quantized [B, C, T], indices [B, T, Q], loss [], perplexity [])."""
        quantized = torch.zeros_like(x)
        residual = x
        indices: list[Tensor] = []
        losses: list[Tensor] = []
        perplexities: list[Tensor] = []
        for layer in self.layers:
            codes, idx, loss, perplexity = layer(residual)
            residual = residual - codes.detach()
            quantized = quantized + codes
            indices.append(idx)
            losses.append(loss)
            perplexities.append(perplexity)
        return quantized, torch.stack(indices, dim=-1), sum(losses) / len(losses), sum(perplexities) / len(perplexities)

    @torch.no_grad()
    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """Indices [B, T, Q] -> [Q, B, T, C]."""
        codebooks = torch.stack([layer.codebook for layer in self.layers])
        batch, _, layers = indices.shape
        repeated = codebooks[:, None].expand(-1, batch, -1, -1)
        where = indices.permute(2, 0, 1)[..., None].expand(layers, -1, -1, codebooks.shape[-1])
        missing = where == -1
        return repeated.gather(2, where.masked_fill(missing, 0)).masked_fill(missing, 0.0)

"""What the reader has chosen in the player: kept in the address of the page, so that a link shows the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

CHOICES = {
    "layout": ("side", "over"),
    "paint": ("motion", "error"),
    "place": ("own", "together"),
    "tokens": ("share", "code"),
}
"""What can be chosen; the first is the default, and stays out of the address."""

ALL_LAYERS, UNQUANTISED = "all", "unquantised"


@dataclass(frozen=True, slots=True)
class View:
    """The choices: ``n`` is a number of active quantizers, 'all' or 'unquantised'.

    ``layout`` puts the figures side by side or over one another, ``paint`` colours them by motion or by joint error,
    ``place`` leaves the reconstruction its own path or puts the pelvises together, ``tokens`` colours the timeline by
    the code's share of all tokens or by its number.
    """

    n: str = ALL_LAYERS
    layout: str = CHOICES["layout"][0]
    paint: str = CHOICES["paint"][0]
    place: str = CHOICES["place"][0]
    tokens: str = CHOICES["tokens"][0]

    @classmethod
    def read(cls, told: Mapping[str, Any], default: View | None = None) -> View:
        """The view that an address or the player tells; what it does not tell, or tells wrong, is as in ``default``."""
        kept = asdict(default or cls())
        kept |= {name: str(told[name]) for name, allowed in CHOICES.items() if told.get(name) in allowed}
        n = str(told.get("n", kept["n"]))
        known = n in (ALL_LAYERS, UNQUANTISED) or (n.isascii() and n.isdigit() and len(n) < 4)
        return cls(**kept | ({"n": n} if known else {}))

    def told(self) -> dict[str, str]:
        """The view by name."""
        return asdict(self)

    def address(self, default: View | None = None) -> dict[str, str | None]:
        """The address's parameters; None where the choice is that of ``default``, which needs none."""
        default = default or View()
        return {
            field.name: None if getattr(self, field.name) == getattr(default, field.name) else getattr(self, field.name)
            for field in fields(self)
        }

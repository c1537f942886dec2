"""Colours that stand for different things stay apart, to readers with each kind of colour blindness too."""

from itertools import combinations

import numpy as np
import pytest
from plotly.colors import get_colorscale

from dashboard.figures import theme
from dashboard.paper.colours import rgba
from dashboard.player.packing import COLOURS

# Machado, Oliveira and Fernandes (2009), severity 1, for linear sRGB.
SIGHTS = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# IEC 61966-2-1, D65.
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]

APART = 15
"""Least distance in CIELAB; about 2 are just seen side by side."""

LEAST_CONTRAST = 2.0
BACKGROUNDS = ("#FFFFFF", "#191817")

every_sight = pytest.mark.parametrize("sight", SIGHTS)


def linear(colour):
    rgb = np.array(
        rgba(colour)[:3] if colour.startswith("rgb") else [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    )
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(colour, sight):
    seen = np.clip(SIGHTS[sight] @ linear(colour), 0, 1)
    parts = TO_XYZ @ seen / WHITE
    roots = np.where(parts > (6 / 29) ** 3, np.cbrt(parts), parts * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * roots[1] - 16, 500 * (roots[0] - roots[1]), 200 * (roots[1] - roots[2])])


def too_near(colours, sight):
    distances = {pair: np.linalg.norm(lab(pair[0], sight) - lab(pair[1], sight)) for pair in combinations(colours, 2)}
    return {pair: round(float(distance), 1) for pair, distance in distances.items() if distance < APART}


def contrast(one, other):
    light, dark = sorted((float(TO_XYZ[1] @ linear(colour)) + 0.05 for colour in (one, other)), reverse=True)
    return light / dark


@every_sight
def test_layers_and_the_states_of_codes_are_told_apart(sight):
    assert too_near(theme.LAYER_COLOURS, sight) == {}
    assert too_near(list(theme.STATUS_COLOURS.values()), sight) == {}


@every_sight
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_of_the_player_are_told_apart(sight, scheme):
    assert too_near([*COLOURS[scheme].values(), COLOURS["grey"]], sight) == {}


@every_sight
def test_grey_is_told_from_what_stands_beside_it(sight):
    for colour in (theme.BLUE, theme.GREEN, theme.ORANGE, theme.SKY, theme.VERMILLION):
        assert too_near([colour, theme.GREY], sight) == {}


@every_sight
@pytest.mark.parametrize("scale", [theme.USAGE_SCALE, theme.POINT_SCALE])
def test_more_is_always_lighter_on_a_scale(sight, scale):
    colours = [colour for _, colour in get_colorscale(scale)] if isinstance(scale, str) else scale
    assert np.all(np.diff([lab(colour, sight)[0] for colour in colours]) > 0)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colours_are_seen_on_both_backgrounds(background):
    assert {c: contrast(c, background) for c in theme.LAYER_COLOURS if contrast(c, background) < LEAST_CONTRAST} == {}


@pytest.mark.parametrize(("sight", "pair"), [
    ("protanopia", ("#A6761D", "#D55E00")), ("deuteranopia", ("#8A8F98", "#CC79A7")),
    ("tritanopia", ("#56B4E9", "#3FC0C0")),
])  # fmt: skip
def test_colours_that_the_colour_blind_mix_up_are_found(sight, pair):
    assert too_near(pair, "usual") == {}
    assert too_near(pair, sight) != {}


@every_sight
def test_white_and_black_look_alike_to_all(sight):
    assert lab("#FFFFFF", sight) == pytest.approx([100, 0, 0], abs=0.05)
    assert lab("#000000", sight) == pytest.approx([0, 0, 0], abs=1e-9)

"""The Clip page in a real browser: the figure moves at the clip's speed, turns, and follows the timeline."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import check, serve

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.loading import Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("clip_browser")]

SECONDS, FPS, QUANTIZERS = 10, 30, 6
PAYLOAD = 3_000_000


@pytest.fixture(scope="module")
def clip_server(tmp_path_factory):
    """Ten seconds of 55 joints at 30 fps, walking and waving, and two checkpoints of six quantizers."""
    tmp_path: Path = tmp_path_factory.mktemp("clip_server")
    rng = np.random.default_rng(0)
    times = np.arange(SECONDS * FPS) / FPS
    poses = 0.4 * np.sin(times[:, None] * rng.uniform(1, 4, 165) + rng.uniform(0, 6, 165))
    trans = np.stack([times * 0.5, np.full(len(times), 1.3), 0 * times], axis=-1)
    (tmp_path / "motion").mkdir()
    np.savez(tmp_path / "motion/<i>wave.npz", poses=poses, trans=trans, mocap_frame_rate=FPS)
    config = RVQVAEConfig(input_dim=330, width=16, code_dim=8, nb_code=64, num_quantizers=QUANTIZERS, depth=1)
    (tmp_path / "models").mkdir()
    for seed, name in enumerate(("m", "other")):
        torch.manual_seed(seed)
        model = RVQVAE(config)
        for number, layer in enumerate(model.quantizer.ema_layers()):
            layer.codebook.copy_(torch.randn(64, 8) * 0.3 / 2**number)
            layer.init.fill_(True)
        header = NativeHeader(config, "smplx_rot6d", float(FPS), {"train_clips": ["<i>wave"]})
        statistics = Normalizer(torch.zeros(330), torch.ones(330))
        save_native(tmp_path / f"models/{name}.safetensors", model, statistics, header)
    with serve(tmp_path, tmp_path / "models", tmp_path / "motion") as address:
        yield address


@pytest.fixture
def player(clip_server: str, page):
    page.received = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: page.received.append(len(frame))))
    page.goto(f"{clip_server}/clip")
    page.locator(".player .readout").get_by_text("frame").wait_for()
    return page


def frame(page) -> int:
    return int(re.search(r"frame (\d+) /", page.locator(".player .readout").inner_text())[1])


def pixels(page, canvas: str = ".figures") -> bytes:
    return page.locator(f".player {canvas}").screenshot()


def pause(page) -> None:
    page.locator(".player .play[aria-label=Pause]").click()


def played(page, seconds: float) -> tuple[float, float]:
    """Seconds of the clip that pass in about ``seconds``, and those that really pass by the browser's clock."""
    frames, passed = page.locator(".player .frame").evaluate(
        """async (slider, seconds) => {
            const begin = performance.now(), last = Number(slider.max) + 1;
            let before = Number(slider.value), frames = 0;
            while (performance.now() - begin < seconds * 1000) {
                await new Promise(requestAnimationFrame);
                frames += (Number(slider.value) - before + last) % last;
                before = Number(slider.value);
            }
            return [frames, (performance.now() - begin) / 1000];
        }""",
        seconds,
    )
    return frames / FPS, passed


def test_it_plays_at_the_clips_speed_and_the_figure_moves(player):
    first = pixels(player)
    shown, passed = played(player, 4)
    assert shown == pytest.approx(passed, rel=0.1)
    assert pixels(player) != first
    player.locator(".player .speed").select_option("0.5")
    shown, passed = played(player, 4)
    assert shown == pytest.approx(passed / 2, rel=0.1)
    check(player)


def test_pause_space_and_arrow_keys(player):
    pause(player)
    at, still = frame(player), pixels(player)
    time.sleep(0.5)
    assert frame(player) == at and pixels(player) == still
    player.locator(".player .figures").focus()
    for key, expected in (("ArrowRight", at % (SECONDS * FPS) + 1), ("ArrowLeft", at)):
        player.keyboard.press(key)
        player.locator(".player .readout").get_by_text(f"frame {expected} /").wait_for()
    player.keyboard.press("Space")
    player.locator(".player .play[aria-label=Pause]").wait_for()


def test_it_waits_for_those_who_want_little_motion(clip_server: str, page):
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{clip_server}/clip")
    page.locator(".player .play[aria-label=Play]").wait_for()
    time.sleep(0.5)
    assert frame(page) == 1


def test_dragging_turns_the_figure_and_a_double_click_turns_it_back(player):
    pause(player)
    home = pixels(player)
    box = player.locator(".player .figures").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    player.mouse.move(*middle)
    player.mouse.down()
    player.mouse.move(middle[0] + 120, middle[1] + 20, steps=4)
    player.mouse.up()
    player.wait_for_timeout(100)
    turned = pixels(player)
    assert turned != home
    player.mouse.wheel(0, -300)
    player.wait_for_timeout(200)
    assert pixels(player) != turned
    player.mouse.dblclick(*middle)
    player.locator(".player .play").focus()  # the figure's own focus ring would differ
    player.wait_for_timeout(100)
    player.mouse.move(5, 5)
    assert pixels(player) == home


def test_a_click_on_the_timeline_seeks(player):
    pause(player)
    box = player.locator(".player .timeline").bounding_box()
    left, width = 64, box["width"] - 64 - 12  # the gutter of the labels and the margin, in timeline.js
    for share in (0.25, 0.8):
        player.locator(".player .timeline").click(position={"x": left + share * width, "y": 30})
        player.wait_for_timeout(100)
        assert frame(player) == pytest.approx(1 + share * SECONDS * FPS, abs=2)
    tip = player.locator(".player .tip").inner_text()
    assert re.match(r"layer 2: code \d+\n(7\.9|8\.0)\d s, frame 2[34]\d\n", tip)


def test_the_number_of_quantizers_changes_the_figure_at_once_and_the_link_keeps_it(player):
    pause(player)
    player.locator(".player .frame").fill("100")
    full = pixels(player)
    player.locator(".player .depth-range").fill("1")
    player.get_by_text("canonical-skeleton MPJPE, body, 1 of 6 quantizers", exact=True).wait_for()
    assert pixels(player) != full
    player.get_by_role("button", name="Overlaid").click()
    player.get_by_role("button", name="Joint error").click()
    player.wait_for_url("**paint=error**")
    assert all(part in player.url for part in ("n=1", "layout=over"))
    assert frame(player) == 101

    player.goto(player.url)
    player.get_by_text("canonical-skeleton MPJPE, body, 1 of 6 quantizers", exact=True).wait_for()
    for name in ("Overlaid", "Joint error"):
        assert player.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
    check(player)


def test_what_is_sent_stays_under_three_megabytes_and_is_sent_once(player):
    player.wait_for_timeout(1000)
    first = sum(player.received)
    assert 500_000 < first < PAYLOAD
    # Choices are drawn by the player: the motion does not come again.
    player.get_by_role("button", name="Overlaid").click()
    player.wait_for_url("**layout=over**")
    player.wait_for_timeout(1000)
    assert sum(player.received) - first < 200_000


@pytest.mark.parametrize("width", [800, 1280])
def test_names_are_text_and_nothing_is_wider_than_the_window(player, width):
    player.set_viewport_size({"width": width, "height": 900})
    player.wait_for_timeout(300)
    assert player.evaluate("document.documentElement.scrollWidth") <= width
    assert player.locator("i", has_text="wave").count() == 0
    boxes = [player.locator(f".player {part}").bounding_box() for part in (".stage", ".transport", ".timeline")]
    assert all(box["x"] + box["width"] <= width for box in boxes)
    assert player.get_by_role("combobox", name="Clip", exact=True).input_value() == "<i>wave · trained on"
    assert player.locator(".stMarkdownBadge").filter(visible=True).all_inner_texts() == ["trained on"]


def drawn(page, third: int) -> int:
    """A sum that tells what is drawn in a third of the figures' canvas, below its label."""
    return page.locator(".player .figures").evaluate(
        """(canvas, third) => {
            const width = Math.floor(canvas.width / 3), left = Math.round(third * canvas.width / 3) + 2;
            const { data } = canvas.getContext("2d").getImageData(left, 32, width - 4, canvas.height - 32);
            return data.reduce((sum, value) => (sum * 31 + value) % 1000003, 7);
        }""",
        third,
    )


def test_two_checkpoints_play_one_clip_beside_the_original(clip_server: str, page):
    page.goto(f"{clip_server}/compare?checkpoint=m.safetensors&compare=other.safetensors")
    page.locator(".player .readout").get_by_text("frame").wait_for()
    page.get_by_text("m.safetensors (baseline), all quantizers", exact=True).wait_for()
    pause(page)
    page.locator(".player .frame").fill("100")
    page.wait_for_timeout(200)
    before = [drawn(page, third) for third in range(3)]
    page.locator(".player .depth-range").fill("0")
    page.get_by_text("canonical-skeleton MPJPE, body, no codes (0 of 6)", exact=True).wait_for()
    page.wait_for_timeout(200)
    after = [drawn(page, third) for third in range(3)]
    assert len(set(before)) == 3
    # The slider changes the last of the three figures alone.
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]

    page.get_by_role("button", name="Overlaid").click()
    page.wait_for_url("**layout=over**")
    page.goto(page.url)
    page.get_by_text("canonical-skeleton MPJPE, body, no codes (0 of 6)", exact=True).wait_for()
    assert page.get_by_role("button", name="Overlaid").get_attribute("aria-pressed") == "true"
    assert [line for line in page.complaints if "/_stcore/" not in line] == []


def test_the_figures_of_the_code_page_move_while_they_are_seen(clip_server: str, page):
    page.goto(f"{clip_server}/code?layer=1&code=0&between=clips")
    page.get_by_role("heading", name="The way to another code or clip").wait_for()
    figures = page.get_by_label(re.compile("Figures of code 0 coming and going"))
    readouts = page.locator(".player .readout")
    figures.scroll_into_view_if_needed()
    readouts.first.get_by_text("frame").wait_for()
    first, still = figures.screenshot(), readouts.last.inner_text()
    page.wait_for_timeout(700)
    assert figures.screenshot() != first
    # Far below nothing is drawn until it comes into sight.
    assert readouts.last.inner_text() == still
    page.get_by_label(re.compile("three points on the way")).scroll_into_view_if_needed()
    page.wait_for_timeout(700)
    assert readouts.last.inner_text() != still
    # A scene has nothing to choose but the time.
    scene = page.locator(".player").filter(has=figures)
    assert scene.locator(".choice:visible, .timeline:visible, .depth:visible").count() == 0
    check(page)

"""How much of a frame text covers, against text that was drawn on practice frames."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.embedded.world import World
from pipeline.models.text_reader import TextReader
from pipeline.stages.measurer import Measurer
from shards.rle import Box, Size


def frame(number: int, size: Size = (180, 320)) -> NDArray[np.uint8]:
    return World(size=size).scene(number).frame(0).image


def with_text(
    picture: NDArray[np.uint8], words: str, at: tuple[int, int], pixels: int
) -> tuple[NDArray[np.uint8], Box]:
    """White words with a black rim, and their box."""
    image, font = Image.fromarray(picture), ImageFont.load_default(pixels)
    draw = ImageDraw.Draw(image)
    draw.text(at, words, font=font, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    x0, y0, x1, y1 = draw.textbbox(at, words, font=font, stroke_width=1)
    return np.asarray(image), (int(x0), int(y0), int(x1), int(y1))


def area(box: Box, size: Size) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])


@pytest.fixture(scope="module")
def bare() -> NDArray[np.uint8]:
    return np.stack([frame(number) for number in range(3)])


@pytest.mark.parametrize(("words", "at", "pixels"), [("SALE 50% OFF", (20, 10), 24), ("subscribe now", (110, 150), 18)])
def test_text_covers_about_its_box(bare: NDArray[np.uint8], words: str, at: tuple[int, int], pixels: int) -> None:
    picture, box = with_text(bare[1], words, at, pixels)
    share = TextReader().open()(picture[None])["text.share"]
    assert share == pytest.approx(area(box, (180, 320)), rel=0.45)


def test_the_frame_with_the_most_text_counts_and_lines_add_up(bare: NDArray[np.uint8]) -> None:
    read = TextReader().open()
    one, _ = with_text(bare[0], "Breaking News", (20, 10), 24)
    two, _ = with_text(one, "from the studio", (60, 140), 24)
    shares = [read(np.stack(frames))["text.share"] for frames in ([one], [two], [bare[1], two, one])]
    assert 1.5 * shares[0] < shares[1] == shares[2]


def test_frames_without_text_have_none(bare: NDArray[np.uint8]) -> None:
    assert TextReader().open()(bare) == {"text.share": 0}


def test_single_letters_are_text_only_where_they_are_asked_for(bare: NDArray[np.uint8]) -> None:
    plain = np.full_like(bare[0], 90)
    picture, _ = with_text(plain, "OK", (120, 60), 40)
    assert TextReader().open()(picture[None]) == {"text.share": 0}
    assert TextReader(min_letters=2).open()(picture[None])["text.share"] > 0


def test_reading_costs_a_model_and_its_version_is_in_the_digest() -> None:
    measurer = Measurer(text=TextReader())
    assert measurer.uses_model
    assert not Measurer().uses_model
    assert "rapidocr-onnxruntime" in measurer.fingerprint()
    assert measurer.digest() != Measurer().digest()

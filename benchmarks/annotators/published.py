"""On a GPU: clips an hour of the networks at their published sizes, with random weights, which cost what others do."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig

from benchmarks.annotators.report import Findings, Line, timed
from benchmarks.annotators.session import Session, exact
from pipeline.embedded.scenes import Rendered
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.world import World
from pipeline.models.deva.settings import PUBLISHED, Propagation, Widths
from pipeline.models.grounding_dino.settings import ARCHITECTURES, GroundingDino
from pipeline.models.grounding_dino.settings import Size as DinoSize

SECTION = "published size"

WORLD = World(size=(480, 854), num_frames=64, frame_rate=24.0, seed=1002)
CLIPS = 8  # a call
ROUNDS = 5

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *NOUNS)


@dataclass(frozen=True)
class Sizes:
    """Which networks are timed: the paper's, unless a test asks for smaller ones."""

    dino: DinoSize = "swin_t"
    sam: Literal["vit_b", "vit_l", "vit_h", "embedded"] = "vit_h"
    deva: Widths = PUBLISHED
    bert: BertConfig | None = None  # None: BERT base


def measure(session: Session) -> Findings:
    if not torch.cuda.is_available():
        return Findings(notes=["published size: skipped, there is no CUDA device"])
    scenes = [WORLD.scene(index, "plain").render() for index in range(CLIPS)]
    return Findings(list(timings(scenes, session.folder, "cuda", Sizes(), ROUNDS)))


def timings(scenes: list[Rendered], folder: Path, device: str, sizes: Sizes, rounds: int) -> Iterator[Line]:
    """Each network over all scenes, `rounds` times after one to warm up, one network in memory at a time."""
    makers: dict[str, Callable[[], Callable[[], object]]] = {
        f"grounder, Grounding DINO {sizes.dino}": lambda: detector(scenes, folder, device, sizes),
        f"segmenter, Segment Anything {sizes.sam}": lambda: segmenter(scenes, device, sizes),
        f"tracker, DEVA, {scenes[0].frames.shape[0]} frames": lambda: tracker(scenes, device, sizes),
    }
    for what, make in makers.items():
        run = make()
        run()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        rates = [3600 * len(scenes) / _seconds(run) for _ in range(rounds)]
        yield timed(SECTION, what, "random weights", "clips/hour", rates)
        if device == "cuda":
            yield timed(SECTION, what, "random weights", "MB", [torch.cuda.max_memory_allocated() / 2**20])


def detector(scenes: list[Rendered], folder: Path, device: str, sizes: Sizes) -> Callable[[], object]:
    """The subject's boxes in all first frames, together."""
    from pipeline.models.grounding_dino.detector import Detector
    from pipeline.models.grounding_dino.network import build

    text_encoder = write_text_encoder(folder / "text-encoder", sizes.bert or BertConfig())
    network = build(ARCHITECTURES[sizes.dino], str(text_encoder)).eval()
    detect = Detector(GroundingDino(size=sizes.dino, device=device), network)
    asked = [(scene.frames[0], scene.nouns[:1]) for scene in scenes]
    return lambda: detect(asked)


def segmenter(scenes: list[Rendered], device: str, sizes: Sizes) -> Callable[[], object]:
    """The subject's mask in all first frames, together."""
    from pipeline.models.segment_anything import Segmenter, build

    segment = Segmenter(build(sizes.sam).eval().to(device), stability_offset=1.0)
    boxes = [next(box for box in scene.boxes()[0] if box is not None) for scene in scenes]
    asked = [(s.frames[0], (exact(s.nouns[0], box),)) for s, box in zip(scenes, boxes, strict=True)]
    return lambda: segment(asked)


def tracker(scenes: list[Rendered], device: str, sizes: Sizes) -> Callable[[], object]:
    """The subject through every clip, one clip after another."""
    from pipeline.models.deva.build import build
    from pipeline.models.deva.propagator import Propagator

    propagator = Propagator(build(sizes.deva).eval().to(device), Propagation())
    return lambda: [list(propagator.track(scene.frames, scene.masks[:1, 0])) for scene in scenes]


def write_text_encoder(folder: Path, config: BertConfig) -> Path:
    """A text encoder's settings, and words enough to ask for the practice world's nouns."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config.save_pretrained(folder)
    return folder


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began

"""On a GPU: clips an hour of the recipe `paper`'s networks at published size, with random weights, which cost the same.

    python -m benchmarks.annotators.published [--out FOLDER]

It asks the networks as the stages do, with frames in memory: reading videos is the CPU's work, beside it.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, Qwen2_5_VLConfig

from benchmarks.annotators.report import RESULTS, Line, table, timed, where
from benchmarks.annotators.session import exact
from pipeline.embedded.scenes import Rendered
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.world import World
from pipeline.models.deva.settings import PUBLISHED, Propagation, Widths
from pipeline.models.grounding_dino.settings import ARCHITECTURES, GroundingDino
from pipeline.models.grounding_dino.settings import Size as DinoSize

SECTION = "published size"

WORLD = World(size=(480, 854), num_frames=64, frame_rate=24.0, seed=1002)
CLIPS = 4  # a call
ROUNDS = 3

FRAMES = 8  # of a clip that the captioner sees
WORDS_OUT = 40  # tokens of a caption
QUESTION = 24  # tokens

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *NOUNS)


@dataclass(frozen=True)
class Sizes:
    """Which networks are timed: the paper's, unless a test asks for smaller ones."""

    dino: DinoSize = "swin_t"
    sam: Literal["vit_b", "vit_l", "vit_h", "embedded"] = "vit_h"
    deva: Widths = PUBLISHED
    bert: BertConfig | None = None  # None: BERT base
    qwen: Qwen2_5_VLConfig | None = None  # None: Qwen2.5-VL 7B


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotators.published", description="published sizes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("published sizes are timed on a GPU, and there is no CUDA device here", file=sys.stderr)
        return 2
    scenes = [WORLD.scene(index, "plain").render() for index in range(CLIPS)]
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for line in timings(scenes, Path(folder), "cuda", Sizes(), ROUNDS):
            lines.append(line)
            print(f"{line.what}: {line.value:,.4g} {line.unit}", flush=True)
    said: dict[str, Any] = {"command": "python -m benchmarks.annotators.published", **where()}
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [{name: value for name, value in asdict(line).items() if value is not None} for line in lines]
    (args.out / "annotators-published.json").write_text(json.dumps({**said, "lines": rows}, indent=1) + "\n")
    page = f"# Annotators at their published sizes\n\n`{json.dumps(said)}`\n\n{table(lines)}\n"
    (args.out / "annotators-published.md").write_text(page)
    return 0


def timings(scenes: list[Rendered], folder: Path, device: str, sizes: Sizes, rounds: int) -> Iterator[Line]:
    """Each network over all scenes, `rounds` times after one to warm up, one network in memory at a time."""
    shape = "x".join(map(str, scenes[0].frames.shape[1:3]))
    name = "a small Qwen2.5-VL" if sizes.qwen else "Qwen2.5-VL 7B"
    makers: dict[str, Callable[[], Callable[[], object]]] = {
        f"captioner, {name}, {FRAMES} frames of {shape}, {WORDS_OUT} tokens": lambda: captioner(scenes, device, sizes),
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


def captioner(scenes: list[Rendered], device: str, sizes: Sizes) -> Callable[[], object]:
    """A caption of so many tokens for every clip, together; what it is asked is as long as a real question."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    config = sizes.qwen or qwen_7b()
    with torch.device(device):
        network: Any = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16).eval()  # type: ignore[no-untyped-call]
    vision: Any = config.vision_config
    cell = vision.patch_size * vision.spatial_merge_size
    height, width = (round(side / cell) * vision.spatial_merge_size for side in scenes[0].frames.shape[1:3])
    grid = (FRAMES // vision.temporal_patch_size, height, width)
    patches, values = grid[0] * height * width, 3 * vision.temporal_patch_size * vision.patch_size**2
    seen = [config.video_token_id] * (patches // vision.spatial_merge_size**2)
    row = [config.vision_start_token_id, *seen, config.vision_end_token_id, *range(QUESTION)]
    tokens = torch.tensor([row] * len(scenes), device=device)
    asked = {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "mm_token_type_ids": 2 * (tokens == config.video_token_id).int(),
        "pixel_values_videos": torch.randn(len(scenes) * patches, values, device=device, dtype=torch.bfloat16),
        "video_grid_thw": torch.tensor([grid] * len(scenes), device=device),
        "second_per_grid_ts": [1.0] * len(scenes),
    }
    length = {"max_new_tokens": WORDS_OUT, "min_new_tokens": WORDS_OUT}
    return lambda: network.generate(**asked, **length, do_sample=False)


def qwen_7b() -> Qwen2_5_VLConfig:
    """The numbers of Qwen/Qwen2.5-VL-7B-Instruct; the package's defaults are the 72B's."""
    text = {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }
    return Qwen2_5_VLConfig(text_config=text, vision_config={"hidden_size": 1280, "out_hidden_size": 3584})


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
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

"""Captions of clips by any vision-language model of Hugging Face, each bound to the frames that it was written from."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.models.pretrained import Pretrained
from pipeline.stage import Settings

Frames: TypeAlias = NDArray[np.uint8]  # [F, H, W, 3], RGB

PROMPT = "Describe this video in one sentence. Name its main subject and say what it does."


class BoundCaption(NamedTuple):
    """What a model wrote, with the digest of the frames that it saw."""

    frames: str  # `frames_digest` of the clip
    text: str
    finished: bool  # False where `max_new_tokens` cut it off


class Unbound(RuntimeError):  # noqa: N818  the name says what is wrong; "Error" would not add to it
    """A caption came back for other frames than it was asked for: a bug, of which no caption may be kept."""


Write: TypeAlias = Callable[[Sequence[Frames]], list[BoundCaption]]


class Retry(Settings):
    """How a model that wrote no caption is asked once more: greedily again, but held from repeating itself."""

    repetition_penalty: float = Field(1.3, ge=1)  # divides the odds of what stands in the text already; 1 is none
    no_repeat_ngram_size: NonNegativeInt = 3  # tokens in a row that may not come twice; 0 is none


class Caption(Pretrained):
    """A captioner: any model that transformers loads as `AutoModelForImageTextToText`.

    A model with a chat template is given `prompt` and `num_frames` frames, as a video where its processor knows
    videos and as images otherwise. One without is given frames only: as many as it was made for (GIT for video,
    TimeSformer), or the middle one. One that needs text but has no template (PaliGemma, Florence-2) is not for this.

    `open()` gives a function from clips to their captions, in order, and `open().again` the same as `retry` says.
    Decoding is greedy: the same frames give the same text. The frames may be the whole clip's, or only those of
    `sampled`.
    """

    packaged: ClassVar[str | None] = "captioner"

    prompt: str = PROMPT
    num_frames: PositiveInt = 8  # of a clip that a chat model is shown; all of a shorter one
    frame_rate: PositiveFloat = 2.0  # frames a second that models which read times are told of those frames
    max_new_tokens: PositiveInt = 96
    retry: Retry | None = None  # for texts that are no captions; without it one try is all

    def network_class(self) -> Any:
        from transformers import AutoModelForImageTextToText

        return AutoModelForImageTextToText

    def open(self) -> "Writer":
        return Writer(self)

    def load_processors(self) -> tuple[Any, Any, Any | None]:
        """The model's image processor, its tokenizer, and both in one where that has a chat template."""
        from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

        processor = self.load(AutoProcessor)
        if not hasattr(processor, "image_processor"):  # a model of two parts, as ViT-GPT2, has no processor of its own
            return self.load(AutoImageProcessor), self.load(AutoTokenizer), None
        return processor.image_processor, processor.tokenizer, processor if processor.chat_template else None


class Writer:
    """The function that `Caption.open` gives."""

    def __init__(self, settings: Caption) -> None:
        self._settings = settings
        self._model = settings.load_network()
        images, self._tokenizer, chat = settings.load_processors()
        self._ask = _plain(self._model.config, images) if chat is None else _chat(settings, chat)

    def __call__(self, clips: Sequence[Frames]) -> list[BoundCaption]:
        return self._written(clips)

    def again(self, clips: Sequence[Frames]) -> list[BoundCaption]:
        """With the settings of `retry`. Raises `ValueError` where there is none."""
        if self._settings.retry is None:
            raise ValueError("the captioner has no `retry`: set it, if only to {}")
        return self._written(clips, **self._settings.retry.model_dump())

    def _written(self, clips: Sequence[Frames], **decoding: float) -> list[BoundCaption]:
        if not clips:
            return []
        for clip in clips:
            _check(clip)
        digests = [frames_digest(clip) for clip in clips]
        decoding["max_new_tokens"] = self._settings.max_new_tokens
        texts = _generate(self._model, self._tokenizer, self._ask(clips), decoding)
        return [BoundCaption(digest, *text) for digest, text in zip(digests, texts, strict=True)]


def bound_texts(clips: Sequence[Frames], captions: Sequence[BoundCaption]) -> list[BoundCaption]:
    """The same captions, proven to be of these clips in this order. Raises `Unbound`."""
    if len(captions) != len(clips):
        raise Unbound(f"{len(captions)} captions came for {len(clips)} clips")
    for place, (clip, caption) in enumerate(zip(clips, captions, strict=True)):
        if caption.frames != frames_digest(clip):
            raise Unbound(f"the caption at place {place} was written from other frames: {caption.text!r}")
    return list(captions)


def frames_digest(frames: Frames) -> str:
    """sha256 of the frames' shape and pixels."""
    digest = hashlib.sha256(repr(frames.shape).encode())
    digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()


def sampled(num_frames: int, wanted: int) -> tuple[int, ...]:
    """Numbers of frames spread evenly: the middles of `wanted` equal parts, or all frames of a shorter clip."""
    return _spread(num_frames, min(num_frames, wanted))


def sampled_anew(num_frames: int, wanted: int) -> tuple[int, ...]:
    """Others than those of `sampled`, where the clip has more: the first frames of as many equal parts."""
    parts = min(num_frames, wanted)
    return tuple(part * num_frames // parts for part in range(parts))


def _spread(num_frames: int, parts: int) -> tuple[int, ...]:
    return tuple((2 * part + 1) * num_frames // (2 * parts) for part in range(parts))


def _check(clip: Frames) -> None:
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or not len(clip):
        raise ValueError(f"a clip is {clip.dtype} {clip.shape}: must be uint8 (F, H, W, 3) of one frame or more")


_Ask: TypeAlias = Callable[[Sequence[Frames]], Any]  # clips to the model's input, a transformers BatchFeature


def _plain(config: Any, images: Any) -> _Ask:
    """For a model that sees frames and writes."""
    num_frames = getattr(config, "num_image_with_embedding", None)  # GIT's name for the frames of a video
    num_frames = num_frames or getattr(getattr(config, "encoder", None), "num_frames", None)

    def ask(clips: Sequence[Frames]) -> Any:
        frames = [Image.fromarray(clip[t]) for clip in clips for t in _spread(len(clip), num_frames or 1)]
        inputs = images(images=frames, return_tensors="pt")
        if num_frames:
            pixels = inputs["pixel_values"]
            inputs["pixel_values"] = pixels.reshape(len(clips), num_frames, *pixels.shape[-3:])
        return inputs

    return ask


def _chat(settings: Caption, processor: Any) -> _Ask:
    """For a model that is asked by a prompt, in the words of its chat template."""
    processor.tokenizer.padding_side = "left"  # the answer stands right behind the prompt
    knows_videos = getattr(processor, "video_processor", None) is not None

    def ask(clips: Sequence[Frames]) -> Any:
        shown = [clip[list(sampled(len(clip), settings.num_frames))] for clip in clips]
        pictures = [[{"type": "video"}] if knows_videos else [{"type": "image"}] * len(clip) for clip in shown]
        prompt = {"type": "text", "text": settings.prompt}
        texts = processor.apply_chat_template(
            [[{"role": "user", "content": [*content, prompt]}] for content in pictures], add_generation_prompt=True
        )
        return processor(
            text=texts,
            padding=True,
            return_tensors="pt",
            add_special_tokens=not texts[0].startswith(processor.tokenizer.bos_token or "\0"),
            **(_videos(shown, settings.frame_rate) if knows_videos else _images(shown)),
        )

    return ask


def _videos(clips: Sequence[Frames], frame_rate: float) -> dict[str, Any]:
    times = [
        {"fps": frame_rate, "total_num_frames": len(clip), "frames_indices": list(range(len(clip)))} for clip in clips
    ]
    return {"videos": list(clips), "video_metadata": times, "do_sample_frames": False}


def _images(clips: Sequence[Frames]) -> dict[str, Any]:
    return {"images": [[Image.fromarray(frame) for frame in clip] for clip in clips]}


def _generate(model: Any, tokenizer: Any, inputs: Any, decoding: Mapping[str, float]) -> list[tuple[str, bool]]:
    """What the model writes to each row of its input, and whether it came to an end."""
    inputs = inputs.to(model.device, dtype=model.dtype)
    rows = model.generate(**inputs, **decoding, do_sample=False, num_beams=1)
    if "input_ids" in inputs and not model.config.is_encoder_decoder:
        rows = rows[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
    settings = model.generation_config
    ends = _numbers(settings.eos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id)
    fills = _numbers(settings.pad_token_id, tokenizer.pad_token_id) - ends
    return [(text.strip(), _ended(row, ends, fills)) for text, row in zip(texts, rows.tolist(), strict=True)]


def _numbers(*tokens: int | list[int] | None) -> set[int]:
    return {
        number for token in tokens if token is not None for number in (token if isinstance(token, list) else [token])
    }


def _ended(row: Sequence[int], ends: set[int], fills: set[int]) -> bool:
    """Whether the last token that counts is one that ends a text; shorter rows of a batch are filled up behind it."""
    last = next((token for token in reversed(row) if token not in fills), None)
    return last in ends

"""What annotators have in common, and those that put a clip into words: caption and subject words.

What the source brings is taken; what it does not bring, a model of the recipe writes. A stage without a model rejects
the clip there, by name. `pipeline.stages.locate` holds the annotators of boxes, masks and tracks.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from pipeline.models.caption_faults import CaptionFault, checked_caption
from pipeline.models.captioning import Caption, Frames, Write, bound_texts, sampled, sampled_anew
from pipeline.models.nouns import NounFinder, Subject
from pipeline.records import Captioned, Encoded, Named, Rejected, grow
from pipeline.sources import annotations
from pipeline.stage import Stage, TwoStep
from pipeline.stages import brought
from shards import video as videos

SOURCE = "source"
"""Who wrote what the source brought."""

R = TypeVar("R", bound=Encoded)
G = TypeVar("G", bound=Encoded)


class _Prepared(NamedTuple, Generic[G]):
    """A batch before the model is asked."""

    answers: list[G | Rejected | None]  # None where the source does not bring one
    asks: list[int]  # places of the records that the model is asked about
    seen: Any  # what it sees of them


class Annotator(Stage[R, G]):
    """What the source brings wins; what it does not bring, the model writes; without a model the clip stops here.

    An annotation that does not fit its video is the data's fault.
    """

    lacks: ClassVar[str]  # what is missing where neither source nor model gives it

    @property
    def uses_model(self) -> bool:  # type: ignore[override]
        return self._model is not None

    @property
    def reads_video(self) -> bool:  # type: ignore[override]
        return self._model is not None

    def fingerprint(self) -> str:
        return "" if self._model is None else self._model.fingerprint()

    def open(self) -> Callable[[Sequence[R]], list[G | Rejected]]:
        # A model is loaded once a record needs it: a source that brings everything never waits for one.
        asking = lru_cache(maxsize=1)(self._asking)

        def prepare(batch: Sequence[R]) -> _Prepared[G]:
            answers = [self._brought_or_rejected(record) for record in batch]
            left = [number for number, answer in enumerate(answers) if answer is None]
            asks = left if self._model is not None else []
            return _Prepared(answers, asks, self._look([batch[number] for number in asks]) if asks else None)

        def load(prepared: _Prepared[G]) -> None:
            if prepared.asks:
                asking()

        def run(batch: Sequence[R], prepared: _Prepared[G]) -> list[G | Rejected]:
            answers = list(prepared.answers)
            if prepared.asks:
                records = [batch[number] for number in prepared.asks]
                for number, answer in zip(prepared.asks, asking()(records, prepared.seen), strict=True):
                    answers[number] = answer
            return [self._lacking() if answer is None else answer for answer in answers]

        return TwoStep(prepare, run, load)

    @property
    def _model(self) -> Any:
        return getattr(self, "model", None)

    def _brought(self, record: R) -> G | Rejected | None:
        """The answer where the source brings it."""
        raise NotImplementedError

    def _look(self, records: Sequence[R]) -> Any:  # noqa: ARG002  those that see nothing but text
        """What the model will see of these records: read and decoded while it is still at those before."""
        return None

    def _asking(self) -> Callable[[Sequence[R], Any], list[G | Rejected]]:
        """The model, loaded, as a function over the records that the source leaves open and what it sees of them."""
        raise NotImplementedError

    def _brought_or_rejected(self, record: R) -> G | Rejected | None:
        try:
            return self._brought(record)
        except annotations.BadAnnotation as error:
            return Rejected(stage=self.name, why=error.why, value=error.value)

    def _lacking(self) -> Rejected:
        why = f"no {self.lacks} from the source and no model in the recipe"
        return Rejected(stage=self.name, why=why, value=None)


class Captioner(Annotator[Encoded, Captioned]):
    """For a source that names subjects but has no captions, `template` writes one; None leaves that to the model.

    What a model writes that is no caption is rejected; where the model has a `retry`, only once it fails again.
    """

    name: ClassVar[str] = "captioner"
    gives: ClassVar[type | None] = Captioned
    lacks: ClassVar[str] = "caption"

    model: Caption | None = None
    template: str | None = "a {subject}"

    def _brought(self, record: Encoded) -> Captioned | Rejected | None:
        video = record.video
        caption = " ".join((video.caption or "").split())
        if caption:
            return grow(Captioned, record, caption=caption, caption_author=video.caption_by)
        nouns = brought.nouns(record)
        if self.template is None or not nouns:
            return None
        caption = self.template.format(subject=" and a ".join(nouns))
        return grow(Captioned, record, caption=caption, caption_author=f"template {self.template!r}")

    def _look(self, records: Sequence[Encoded]) -> list[Frames]:
        return self._shown(records, sampled)

    def _asking(self) -> Callable[[Sequence[Encoded], Any], list[Captioned | Rejected]]:
        assert self.model is not None
        settings, write = self.model, self.model.open()

        def ask(records: Sequence[Encoded], clips: list[Frames]) -> list[Captioned | Rejected]:
            answers = self._written(records, clips, write)
            faulty = [n for n, answer in enumerate(answers) if isinstance(answer, Rejected)]
            if settings.retry and faulty:
                some = [records[n] for n in faulty]
                again = self._written(some, self._shown(some, sampled_anew), write.again)
                for n, answer in zip(faulty, again, strict=True):
                    answers[n] = answer
            return answers

        return ask

    def _shown(self, records: Sequence[Encoded], choose: Callable[[int, int], tuple[int, ...]]) -> list[Frames]:
        """The frames that are chosen of each clip."""
        assert self.model is not None
        return [_clip(record, choose(record.num_frames, self.model.num_frames)) for record in records]

    def _written(self, records: Sequence[Encoded], clips: Sequence[Frames], write: Write) -> list[Captioned | Rejected]:
        """What is written of these frames of each clip."""
        captions = bound_texts(clips, write(clips))
        return [self._checked(record, *caption) for record, caption in zip(records, captions, strict=True)]

    def _checked(self, record: Encoded, digest: str, text: str, finished: bool) -> Captioned | Rejected:
        assert self.model is not None
        caption = checked_caption(text, finished=finished)
        if isinstance(caption, CaptionFault):
            return Rejected(stage=self.name, why=caption.why, value=caption.value)
        author = f"{self.model.model}, frames {digest[:16]}"
        return grow(Captioned, record, caption=caption, caption_author=author)


def _clip(record: Encoded, numbers: Sequence[int]) -> Frames:
    """Those frames of the clip, which rise, [F, H, W, 3]."""
    return np.stack(list(videos.frames(record.path, numbers)))


class Namer(Annotator[Captioned, Named]):
    """Subject words, best candidate first: the source's own, else those that the model finds in the caption."""

    name: ClassVar[str] = "namer"
    gives: ClassVar[type | None] = Named
    lacks: ClassVar[str] = "subject word"
    reads_video: ClassVar[bool] = False

    model: NounFinder | None = None

    def _brought(self, record: Captioned) -> Named | Rejected | None:
        nouns = brought.nouns(record)
        return grow(Named, record, subjects=nouns, namer=SOURCE) if nouns else None

    def _asking(self) -> Callable[[Sequence[Captioned], Any], list[Named | Rejected]]:
        assert self.model is not None
        model = self.model

        def ask(records: Sequence[Captioned], _: None) -> list[Named | Rejected]:
            find, who = _finder(model)
            found = find([record.caption for record in records])
            return [self._named(record, subjects, who) for record, subjects in zip(records, found, strict=True)]

        return ask

    def _named(self, record: Captioned, subjects: Sequence[Subject], who: str) -> Named | Rejected:
        if not subjects:
            return Rejected(stage=self.name, why="no subject word in the caption", value=record.caption)
        nouns = tuple(dict.fromkeys(subject.noun for subject in subjects))
        return grow(Named, record, subjects=nouns, namer=who)


@lru_cache(maxsize=1)  # a source that brings its subject words never loads the model
def _finder(model: NounFinder) -> tuple[Callable[[Sequence[str]], list[tuple[Subject, ...]]], str]:
    return model.open(), model.fingerprint()

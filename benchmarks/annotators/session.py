"""What the sections share: the recipe, the clips and what the first stages said of them, each made when first asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.annotators import building, practice
from benchmarks.annotators.practice import PracticeClip, answers
from pipeline.recipe import Recipe
from pipeline.records import Captioned, Detection, Named, Rejected, grow
from pipeline.stages.annotate import Namer
from shards.rle import Box


@dataclass(frozen=True)  # frozen settings beside answers that are kept once they were asked for
class Session:
    """One run of the benchmark."""

    recipe: Recipe
    folder: Path  # for videos and datasets that go when the run ends
    num_clips: int
    davis: Path | None = None

    @cached_property
    def builds(self) -> building.Builds:
        return building.judged_twice(self.folder / "build", self.recipe, self.num_clips)

    @cached_property
    def clips(self) -> list[PracticeClip]:
        return practice.clips(self.folder / "practice", self.recipe, self.num_clips)

    @cached_property
    def said(self) -> list[Captioned | Rejected]:
        """The captioner's answer to every clip."""
        return answers(self.recipe.captioner, [clip.record for clip in self.clips])

    @cached_property
    def names_said(self) -> list[tuple[str, ...]]:
        """Of every clip the nouns that the Namer finds in the captioner's words, best first; none without a caption."""
        return names(self.recipe.namer, self.said)

    @cached_property
    def names_true(self) -> list[tuple[str, ...]]:
        """Of every clip the nouns that the Namer finds in the true caption."""
        true = [grow(Captioned, c.record, caption=c.scene.caption, caption_author="truth") for c in self.clips]
        return names(self.recipe.namer, true)


def names(namer: Namer, captioned: Sequence[Captioned | Rejected]) -> list[tuple[str, ...]]:
    """The subject words of every caption, best first."""
    written = [record for record in captioned if isinstance(record, Captioned)]
    found = iter(answers(namer, written))
    named = [next(found) if isinstance(record, Captioned) else record for record in captioned]
    return [record.subjects if isinstance(record, Named) else () for record in named]


def exact(noun: str, box: Box) -> Detection:
    """A detection that nobody had to find."""
    return Detection(noun=noun, frame=0, box=box, score=1.0, text_score=1.0)

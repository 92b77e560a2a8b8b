"""Every setting of the loader: which clips, in which order, and what a batch shows of each."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from pipeline.stage import Settings


class Sampling(Settings):
    """Which clips of a dataset are drawn, and how often.

    An epoch has as many draws as there are clips to draw from. `uniform` draws each once. `balanced` draws a clip of
    a class of n in proportion to n ** (temper - 1): with 1 the classes come as often as they are, with 0 all equally.
    `weighted` draws in proportion to a column of the index (a plain one, or a score).
    """

    kind: Literal["uniform", "balanced", "weighted"] = "uniform"
    where: str | None = None  # SQL over the index, as in `dreamreel shards repack --where`
    temper: float = Field(default=0.0, ge=0, le=1)  # of `balanced`
    column: str | None = None  # of `weighted`
    ignore_verdicts: bool = False  # take the clips as the shards have them, whatever people decided
    shards_at_once: PositiveInt = 16  # clips are mixed within so many shards, so that few tars are read at a time


class Window(Settings):
    """Which frames of a clip are shown: `num_frames`, every round(clip's fps / fps)-th.

    The start is random among those from which the subject is in at least `min_visible` of the frames; where there
    is none, it is the start that shows most of it. With start="key" the window begins at a key frame, which spares
    the decoder the frames before it.
    """

    num_frames: PositiveInt = 16
    fps: PositiveFloat = 8.0  # the paper's
    start: Literal["any", "key"] = "any"
    min_visible: float = Field(default=0.5, ge=0, le=1)


class Augmentation(Settings):
    """Changes to the subject image. The paper has none; they keep the model from copying it pixel by pixel."""

    flip: float = Field(default=0.5, ge=0, le=1)  # how often it is mirrored
    degrees: float = Field(default=10.0, ge=0, le=180)  # turned by up to so much either way
    scale: float = Field(default=0.2, ge=0, lt=1)  # made larger or smaller by up to this share
    blur: float = Field(default=1.0, ge=0)  # standard deviation of the blur, up to so many pixels
    colour: float = Field(default=0.1, ge=0, lt=1)  # brightness and each channel changed by up to this share


class Reference(Settings):
    """The subject image: a random frame, all but the subject blank.

    A frame is informative when the subject covers at least `min_area` of the picture and, unless `at_border`, does
    not touch its border. Where no frame is, the one that shows most of the subject is taken.
    """

    frames: Literal["window", "clip"] = "window"  # the paper: of the training video, which the window is
    min_area: float = Field(default=0.01, ge=0, le=1)  # share of the picture
    at_border: bool = True  # a subject cut off by the picture's edge may be taken
    mask_resize: Literal["area", "nearest"] = "area"  # silent in the paper; area is thresholded at one half
    blank: int = Field(default=255, ge=0, le=255)  # silent in the paper: white, like the outside of 1 - M
    augmentation: Augmentation | None = None  # off is the paper


class Loader(Settings):
    """Batches from a dataset's shards as they stream; `training.loader.open_stream` opens it."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    height: PositiveInt = 256  # pixels; a clip is resized to cover the picture, then cropped at its centre
    width: PositiveInt = 448
    sampling: Sampling = Sampling()
    window: Window = Window()
    reference: Reference = Reference()
    text_dropout: float = Field(default=0.1, ge=0, le=1)  # how often a caption is left empty; silent in the paper
    freeze: bool = False  # show the same window and subject image of a clip in each epoch, as a latent cache needs it
    masks: bool = False  # also the subject's own mask of every frame; the paper needs its boxes alone
    check_content: bool = True  # compare every clip's bytes with the digest in its sidecar
    workers: int = Field(default=2, ge=0)  # processes that decode, for each rank; 0: none but the trainer's own
    batches_ahead: PositiveInt = 2  # that each worker makes before they are asked for
    samples_ahead: PositiveInt = 8  # that a worker fetches at once from where there is no local disk
    timeout: PositiveFloat = 600.0  # seconds that the trainer waits for a batch before it gives up
    patience: PositiveFloat = 120.0  # seconds for which a place that does not answer is asked again

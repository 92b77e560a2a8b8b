"""The paper's protocols and numbers (Tab. 2 to 6), to stand beside."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Metric: TypeAlias = str
"""By the paper's name: one of `METRICS`."""

BETTER: dict[Metric, Literal[1, -1]] = {
    "CLIP-T": 1,
    "R-CLIP": 1,
    "R-DINO": 1,
    "CLIP-I": 1,
    "DINO-I": 1,
    "T.Cons": 1,
    "mIoU": 1,
    "CD": -1,
    "DD": 1,
}
"""1 where more is better, -1 where less is."""

METRICS: tuple[Metric, ...] = tuple(BETTER)
_JOINT = METRICS[:-1]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One of the paper's comparisons: its columns, and its rows by the system's name, None where it has no number."""

    title: str
    table: str
    metrics: tuple[Metric, ...]
    rows: dict[str, tuple[float | None, ...]]


_TABLE_2: dict[str, tuple[float | None, ...]] = {
    "DreamVideo": (0.289, 0.682, 0.244, 0.692, 0.386, 0.966, 0.169, 0.196),
    "MotionBooth": (0.267, 0.708, 0.301, 0.686, 0.383, 0.970, 0.351, 0.097),
    "DreamVideo-2": (0.303, 0.751, 0.392, 0.694, 0.411, 0.968, 0.670, 0.048),
}

PROTOCOLS: dict[str, Protocol] = {
    "all": Protocol(
        title="All nine metrics",
        table="Tab. 2",
        metrics=METRICS,
        rows={name: (*values, None) for name, values in _TABLE_2.items()},
    ),
    "joint": Protocol(title="Subject and motion together", table="Tab. 2", metrics=_JOINT, rows=_TABLE_2),
    "subject": Protocol(
        title="Subject alone",
        table="Tab. 3",
        metrics=("CLIP-T", "CLIP-I", "DINO-I", "T.Cons", "DD"),
        rows={
            "DreamVideo": (0.290, 0.714, 0.470, 0.975, 0.592),
            "VideoBooth": (0.274, 0.724, 0.459, 0.970, 0.780),
            "DreamVideo-2": (0.297, 0.721, 0.472, 0.972, 0.952),
        },
    ),
    "motion": Protocol(
        title="Motion alone",
        table="Tab. 4",
        metrics=("CLIP-T", "T.Cons", "mIoU", "CD"),
        rows={
            "Peekaboo": (0.318, 0.968, 0.322, 0.117),
            "Direct-a-Video": (0.312, 0.965, 0.355, 0.124),
            "MotionCtrl": (0.321, 0.971, 0.248, 0.122),
            "DreamVideo-2": (0.322, 0.969, 0.752, 0.039),
        },
    ),
}

ABLATIONS: dict[str, tuple[float, ...]] = {
    "lambda_M = 0.75, lambda_L = 2": (0.303, 0.751, 0.392, 0.694, 0.411, 0.968, 0.670, 0.048),
    "lambda_M = 0": (0.293, 0.755, 0.388, 0.696, 0.394, 0.967, 0.706, 0.044),
    "lambda_M = 0.25": (0.299, 0.748, 0.379, 0.685, 0.395, 0.964, 0.693, 0.041),
    "lambda_M = 0.5": (0.301, 0.748, 0.376, 0.694, 0.386, 0.961, 0.664, 0.051),
    "lambda_M = 1": (0.301, 0.744, 0.370, 0.682, 0.375, 0.963, 0.601, 0.055),
    "without motion encoder": (0.302, 0.731, 0.325, 0.690, 0.389, 0.963, 0.587, 0.062),
    "lambda_L = 1": (0.300, 0.740, 0.362, 0.673, 0.382, 0.961, 0.650, 0.053),
    "lambda_L = 1.5": (0.302, 0.745, 0.370, 0.687, 0.385, 0.965, 0.676, 0.050),
    "lambda_L = 4": (0.298, 0.750, 0.389, 0.693, 0.399, 0.964, 0.647, 0.056),
}
"""Tab. 5 and 6, the paper's own settings first; columns as Tab. 2's."""

ABLATION_METRICS = _JOINT

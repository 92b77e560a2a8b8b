"""An evaluation as a table in the paper's columns, beside the paper's own rows: Markdown and LaTeX, with a footer."""

import json
from collections.abc import Mapping, Sequence

from pipeline.stage import Settings
from training.evaluation.intervals import Estimate, mean
from training.evaluation.paper import BETTER, PROTOCOLS, Protocol
from training.evaluation.run import Evaluation
from training.evaluation.scores import CD_DETECTED, DETECTED
from training.evaluation.settings import EvaluationSettings

Row = tuple[str, Mapping[str, Estimate | float | None]]
"""A system's name and its figures, by the paper's names; a plain number is the paper's own."""

EXTRA = {CD_DETECTED: "CD, detected", DETECTED: "Detected"}
"""Columns that stand beside mIoU and CD."""


def estimates(evaluation: Evaluation) -> dict[str, Estimate]:
    """Means over videos with their intervals; a metric that no video has is not there."""
    found = {}
    for metric in columns(PROTOCOLS[evaluation.protocol]):
        values = [value for one in evaluation.measured if (value := one.scores.video.get(metric)) is not None]
        if values:
            found[metric] = mean(values)
    return found


def columns(protocol: Protocol) -> tuple[str, ...]:
    """The protocol's, and those that always stand beside mIoU and CD."""
    return (*protocol.metrics, *(EXTRA if {"mIoU", "CD"} & set(protocol.metrics) else ()))


def rows(evaluation: Evaluation, beside: Sequence[Row] = ()) -> list[Row]:
    """The evaluation's row and those beside it; then the paper's, of other models, videos and prompts."""
    protocol = PROTOCOLS[evaluation.protocol]
    own: list[Row] = [(evaluation.name, estimates(evaluation)), *beside]
    papers: list[Row] = [
        (f"{name} (paper)", dict(zip(protocol.metrics, values, strict=True))) for name, values in protocol.rows.items()
    ]
    return own + papers


def markdown(evaluation: Evaluation, beside: Sequence[Row] = ()) -> str:
    """Title, table, footer."""
    protocol = PROTOCOLS[evaluation.protocol]
    heads = _heads(evaluation, protocol)
    lines = [
        "| System | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
        *(
            "| " + " | ".join([name, *(_shown(values.get(c), _other(evaluation, c)) for c in columns(protocol))]) + " |"
            for name, values in rows(evaluation, beside)
        ),
    ]
    return "\n\n".join([f"### {protocol.title} ({protocol.table})", "\n".join(lines), footer(evaluation)]) + "\n"


def latex(evaluation: Evaluation, beside: Sequence[Row] = ()) -> str:
    """A tabular of booktabs, intervals small behind the means."""
    protocol = PROTOCOLS[evaluation.protocol]
    heads = [_escaped(head) for head in _heads(evaluation, protocol)]
    body = []
    for name, values in rows(evaluation, beside):
        cells = [_shown_latex(values.get(column), _other(evaluation, column)) for column in columns(protocol)]
        body.append(" & ".join([_escaped(name), *cells]) + r" \\")
    own = 1 + len(beside)
    lines = [
        r"\begin{tabular}{l" + "c" * len(heads) + "}",
        r"\toprule",
        " & ".join(["System", *heads]) + r" \\",
        r"\midrule",
        *body[:own],
        r"\midrule",
        *body[own:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = "\n".join(f"% {line}" for line in footer(evaluation).splitlines())
    return "\n".join(lines) + f"\n{notes}\n"


def footer(evaluation: Evaluation) -> str:
    """How the figures came about: videos, intervals, and every choice on which the paper is silent."""
    lines = [
        f"- {evaluation.name}: {len(evaluation.measured)} videos of {evaluation.videos}; "
        f"{len(evaluation.faults)} faults",
        "- Brackets: 95 % interval of the mean, bootstrapped over videos. The paper's rows are of other videos; where "
        "another model stands in for the paper's, its figures bear the paper's name and cannot be compared.",
        *choices(evaluation.settings, evaluation.metrics),
    ]
    return "\n".join(lines)


def choices(settings: EvaluationSettings, metrics: Sequence[str]) -> list[str]:
    """The settings behind those metrics, in words."""
    found = []
    if {"mIoU", "CD"} & set(metrics):
        found.append(
            f"- Detector: {_said(settings.detector)}; the best box of the noun in each frame. A frame without one: "
            f"IoU {settings.missing_iou}, CD {settings.missing_distance}; frames without a target box are left out. "
            f"CD by the frame's {settings.distance_by}."
        )
    if {"T.Cons", "CLIP-I", "R-CLIP", "CLIP-T"} & set(metrics):
        found.append(f"- {settings.semantic.label}: {_said(settings.semantic)}.")
    if "CLIP-T" in metrics and settings.text is not None:
        found.append(f"- {settings.text.label}-T: {_said(settings.text)}; a likelihood, no cosine.")
    if {"DINO-I", "R-DINO"} & set(metrics):
        found.append(f"- {settings.structural.label}: {_said(settings.structural)}.")
    if {"R-CLIP", "R-DINO"} & set(metrics):
        found.append("- R-: the frame inside the target box, in whole pixels, without padding.")
    if "DD" in metrics:
        found.append(
            f"- DD: {_said(settings.flow)}, at {settings.flow_fps:g} frames a second; the share of dynamic videos."
        )
    return found


def _said(model: Settings) -> str:
    """What a model is, and its settings that decide its answers."""
    dumped = model.model_dump(mode="json", exclude={"device", "dtype", "pairs_at_once", "kind"}, exclude_none=True)
    about = getattr(model, "about", "Grounding DINO")
    return f"{about} {json.dumps(dumped)}" if dumped else about


def _heads(evaluation: Evaluation, protocol: Protocol) -> list[str]:
    titles = evaluation.settings.titles()
    arrows = {1: "↑", -1: "↓"}
    return [*(f"{titles[metric]} {arrows[BETTER[metric]]}" for metric in protocol.metrics)] + [
        EXTRA[column] for column in columns(protocol) if column in EXTRA
    ]


def _other(evaluation: Evaluation, metric: str) -> str:
    """The paper's name of a metric that another model measures here; before its figures in that column."""
    return "" if evaluation.settings.titles().get(metric, metric) == metric else f"{metric} "


def _shown(figure: Estimate | float | None, other: str) -> str:
    if figure is None:
        return "-"
    if isinstance(figure, Estimate):
        return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
    return f"{other}{figure:.3f}"


def _shown_latex(figure: Estimate | float | None, other: str) -> str:
    if isinstance(figure, Estimate):
        return rf"{figure.value:.3f} {{\scriptsize [{figure.low:.3f}, {figure.high:.3f}]}}"
    return "--" if figure is None else f"{other}{figure:.3f}"


def _escaped(text: str) -> str:
    for sign in ("\\", "&", "%", "$", "#", "_", "{", "}"):
        text = text.replace(sign, r"\textbackslash{}" if sign == "\\" else "\\" + sign)
    return text.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$")

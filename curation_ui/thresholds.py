"""The rules' thresholds as sliders, and what other ones would keep: asked of the pipeline's own rules, clip by clip."""

import json
import shlex
import threading
from collections import Counter, OrderedDict
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation_ui.table import Table
from curation_ui.tool_wire import RuleSetting, Thresholds
from curation_ui.wire import ScoreInfo, Word
from pipeline.stages.rules import Rule, Rules, rejudge


class Setting(NamedTuple):
    """One number of a rule, and the score that it is compared with."""

    name: str  # as `--set rules.NAME=` takes it, and ".0" or ".1" for an end of a range
    score: str
    side: str  # "low": what lies below is stopped; "high": what lies above
    lowest: float  # of a slider
    highest: float


SETTINGS = (
    Setting("count.max", "count", "high", 1, 10),
    Setting("size.width.0", "size.width", "low", 0, 1),
    Setting("size.width.1", "size.width", "high", 0, 1),
    Setting("size.height.0", "size.height", "low", 0, 1),
    Setting("size.height.1", "size.height", "high", 0, 1),
    Setting("size.area.0", "size.area", "low", 0, 1),
    Setting("size.area.1", "size.area", "high", 0, 1),
    Setting("black.max", "black.share", "high", 0, 1),
    Setting("motion.max_iou", "motion.iou", "high", 0, 1),
    Setting("motion.min_shift", "motion.shift", "low", 0, 1),
    Setting("own_motion.min_shift", "motion.compensated", "low", 0, 1),
    Setting("effective.min", "effective", "low", 0, 1),
    Setting("lost.max_spans", "lost.spans", "high", 0, 10),
    Setting("lost.max_longest", "lost.longest", "high", 0, 1),
    Setting("area_jump.max", "area.jump", "high", 1, 20),
    Setting("border.max", "border", "high", 0, 1),
    Setting("static.max_share", "static.share", "high", 0, 1),
    Setting("static.max_frozen", "frozen.share", "high", 0, 1),
    Setting("bars.max", "bars.share", "high", 0, 1),
    Setting("text.max", "text.share", "high", 0, 1),
    Setting("nsfw.max", "nsfw", "high", 0, 1),
)
"""All but those of `duplicate`, which is about a dataset and not about one clip."""

_NOTES = {
    "motion.max_iou": "or motion.shift above {motion.min_shift:g}",
    "motion.min_shift": "or motion.iou below {motion.max_iou:g}",
}
_SAMPLES = 200  # keys that an answer lists

OK, BROKEN, UNKNOWN = range(3)


def rules_of(recipe: Mapping[str, Any]) -> Rules:
    """The rules that a dataset was built by; none where it does not say, or says what is not known here."""
    known = {name: value for name, value in dict(recipe.get("rules") or {}).items() if name in Rules.model_fields}
    return Rules.model_validate(known)


def settings_of(rules: Rules, measured: Container[str]) -> list[RuleSetting]:
    """Every threshold with its value, the default's where the rule is off; `measured`: columns that there are."""
    return [
        RuleSetting(
            name=setting.name,
            rule=_rule(setting),
            column=setting.score if setting.score in measured else None,
            side="low" if setting.side == "low" else "high",
            value=_value(rules, setting),
            lowest=setting.lowest,
            highest=max(setting.highest, _value(rules, setting)),
            on=getattr(rules, _rule(setting)) is not None,
        )
        for setting in SETTINGS
    ]


def asked_by(rules: Rules) -> dict[str, list[str]]:
    """Settings that ask each score, of the rules that are on."""
    found: dict[str, list[str]] = {}
    for setting in SETTINGS:
        if getattr(rules, _rule(setting)) is not None:
            found.setdefault(setting.score, []).append(setting.name)
    return found


def scores_of(scores: Mapping[str, float], rules: Rules) -> list[ScoreInfo]:
    """Every score with the thresholds that hold for it."""
    return [_score(name, value, rules) for name, value in sorted(scores.items())]


def broken_by(scores: Mapping[str, float], rules: Rules, source: str) -> list[str]:
    """Scores for which a clip would be rejected; what was never measured breaks nothing here."""
    every = (rejudge(scores, _only(rules, name), source) for name in _on(rules) if _measured(scores, name))
    return list(dict.fromkeys(broken.rule for answers in every for broken in answers))


def changed(rules: Rules, settings: Mapping[str, float | None]) -> Rules:
    """`rules` with other thresholds; raises `ValueError` for a setting that there is not, and for a bad value."""
    values: dict[str, Any] = rules.model_dump()
    known = {setting.name: setting for setting in SETTINGS}
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"there is no threshold {name!r}; there are {', '.join(known)}")
        rule, *path = name.split(".")
        if value is None:
            values[rule] = None
            continue
        if values[rule] is None:
            values[rule] = Rules.model_validate({rule: {}}).model_dump()[rule]
        if len(path) == 2:
            ends = list(values[rule][path[0]])
            ends[int(path[1])] = value
            values[rule][path[0]] = ends
        else:
            values[rule][path[0]] = int(value) if isinstance(values[rule][path[0]], int) else value
    return Rules.model_validate(values)


class Judged:
    """Every clip whose values were measured, against any thresholds; each rule is asked of each clip once."""

    def __init__(self, samples: Table, stopped: Table, sources: Sequence[str], ends: Sequence[str]) -> None:
        """`sources` of all clips, samples first; `ends` of the stopped ones: why for good, or "" where rules decide."""
        self._tables, self._sources = (samples, stopped), list(sources)
        self._kept = np.arange(len(self._sources)) < samples.num_rows
        self._ends = Counter(end for end in ends if end)
        self._final = np.array([*[False] * samples.num_rows, *map(bool, ends)], bool)
        self._answers: OrderedDict[str, NDArray[np.int8]] = OrderedDict()
        self._columns: dict[str, NDArray[np.float64]] = {}
        self._lock = threading.Lock()

    def under(self, rules: Rules) -> "Verdicts":
        """What the rules say of every clip."""
        with self._lock:
            names = ["", *_on(rules)]
            answers = np.stack([self._asked(rules, name) for name in names])
        broken = (answers == BROKEN).any(0) & ~self._final
        unknown = (answers == UNKNOWN).any(0) & ~broken & ~self._final
        kept = ~(broken | unknown | self._final)
        first = np.where(broken, (answers == BROKEN).argmax(0), -1)
        reasons = Counter({names[k] or "nothing found": int(n) for k, n in _counts(first) if k >= 0})
        return Verdicts(kept=kept, unknown=unknown, reasons=reasons + self._ends, was_kept=self._kept)

    def _asked(self, rules: Rules, name: str) -> NDArray[np.int8]:
        """What one rule says of each clip, int8 [N]; "" asks whether there is a subject at all."""
        rule: Rule | None = getattr(rules, name) if name else None
        said = f"{name}={rule.model_dump_json() if rule else ''}"
        if said not in self._answers:
            self._answers[said] = self._ask(Rules.model_validate({name: rule}) if name else Rules(), name)
            if len(self._answers) > 64:
                self._answers.popitem(last=False)
        self._answers.move_to_end(said)
        return self._answers[said]

    def _ask(self, rules: Rules, name: str) -> NDArray[np.int8]:
        needed = ["count", "effective", *(setting.score for setting in SETTINGS if _rule(setting) == name)]
        names = list(dict.fromkeys(needed))
        columns = [self._column(score) for score in names]
        answers = np.full(len(self._sources), UNKNOWN, np.int8)
        for number, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            scores = {name: value for name, value in zip(names, values, strict=True) if value == value}  # no NaN
            try:
                answers[number] = BROKEN if rejudge(scores, rules, self._sources[number]) else OK
            except KeyError:
                continue
        return answers

    def _column(self, score: str) -> NDArray[np.float64]:
        if score not in self._columns:
            parts = [_column_of(table, score) for table in self._tables]
            self._columns[score] = np.concatenate(parts)
        return self._columns[score]


class Verdicts(NamedTuple):
    """What rules say of N clips."""

    kept: NDArray[np.bool_]  # [N]
    unknown: NDArray[np.bool_]
    reasons: Counter[str]  # first broken rule -> clips
    was_kept: NDArray[np.bool_]


def answer(verdicts: Verdicts, keys: Sequence[str], said: Sequence[str], url: str) -> Thresholds:
    """For the wire; `keys` are those of all clips in order, `said` the settings as `--set` takes them."""
    gained = np.flatnonzero(verdicts.kept & ~verdicts.was_kept)
    lost = np.flatnonzero(~verdicts.kept & verdicts.was_kept)
    return Thresholds(
        kept=int(verdicts.kept.sum()),
        rejected=int((~verdicts.kept & ~verdicts.unknown).sum()),
        unknown=int(verdicts.unknown.sum()),
        was_kept=int(verdicts.was_kept.sum()),
        gained=len(gained),
        lost=len(lost),
        reasons=[Word(word=word, count=count) for word, count in verdicts.reasons.most_common()],
        gained_keys=[keys[number] for number in gained[:_SAMPLES]],
        lost_keys=[keys[number] for number in lost[:_SAMPLES]],
        command=shlex.join(["dreamreel", "refilter", url, "OUT", *(part for one in said for part in ("--set", one))]),
    )


def assignments(rules: Rules, settings: Mapping[str, float | None]) -> list[str]:
    """`settings` as `--set` takes them; `rules` are those with the settings laid over."""
    said = dict[str, str]()
    for name, value in settings.items():
        rule, field = name.split(".")[:2]
        if value is None:
            said[f"rules.{rule}"] = "null"
        else:
            said[f"rules.{rule}.{field}"] = json.dumps(getattr(getattr(rules, rule), field), separators=(",", ":"))
    return [f"{name}={value}" for name, value in said.items()]


def _counts(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def _column_of(table: Table, score: str) -> NDArray[np.float64]:
    name = score if table.kinds.get(score) == "number" else f"scores.{score}"
    return table.column(name) if name in table.kinds else np.full(table.num_rows, np.nan)


def _rule(setting: Setting) -> str:
    return setting.name.partition(".")[0]


def _value(rules: Rules, setting: Setting) -> float:
    rule, *path = setting.name.split(".")
    there = getattr(rules, rule) or getattr(Rules.model_validate({rule: {}}), rule)
    value = getattr(there, path[0])
    return float(value[int(path[1])] if len(path) == 2 else value)


def _on(rules: Rules) -> list[str]:
    """Rules about one clip that are on, in the order in which they are named."""
    return [name for name in Rules.model_fields if name != "duplicate" and getattr(rules, name) is not None]


def _only(rules: Rules, name: str) -> Rules:
    return Rules.model_validate({name: getattr(rules, name)})


def _measured(scores: Mapping[str, float], name: str) -> bool:
    return all(setting.score in scores for setting in SETTINGS if _rule(setting) == name)


def _score(name: str, value: float, rules: Rules) -> ScoreInfo:
    ends: dict[str, float] = {}
    rule = note = None
    values = {setting.name: _value(rules, setting) for setting in SETTINGS}
    for setting in SETTINGS:
        if setting.score == name and getattr(rules, _rule(setting)) is not None:
            ends[setting.side] = values[setting.name]
            rule = f"rules.{setting.name.removesuffix('.0').removesuffix('.1')}"
            note = _NOTES.get(setting.name)
    said = None if note is None else _filled(note, values)
    return ScoreInfo(name=name, value=value, rule=rule, low=ends.get("low"), high=ends.get("high"), note=said)


def _filled(note: str, values: Mapping[str, float]) -> str:
    for name, value in values.items():
        note = note.replace(f"{{{name}:g}}", f"{value:g}")
    return note

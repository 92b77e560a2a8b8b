"""The sixteen nouns of the practice world: flat parts in drawing order, each a polygon with a paint, some with a hinge.

Every drawing is made on a sheet of 100 by 100 units, y down, facing right; `SILHOUETTES` holds them moved and scaled so
that the box around each has its centre at the origin and its longer side is 1.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]  # [P, 2] as x, y
XY: TypeAlias = tuple[float, float]
Rgb: TypeAlias = tuple[int, int, int]

PAINTS: dict[str, Rgb] = {
    "white": (244, 244, 240),
    "ink": (28, 26, 30),
    "glass": (176, 212, 226),
    "steel": (120, 124, 130),
    "silver": (180, 186, 194),
    "wood": (122, 84, 52),
    "beak": (240, 168, 48),
    "flame": (252, 148, 40),
    "spark": (255, 226, 110),
}
"""Paints that are the same whatever the object's colour. "trim" is white, or silver on a white object."""

SHADES = {"body": 0.0, "dark": -0.32, "deep": -0.5, "light": 0.42}
"""The other paints: how far they lie from the object's colour towards black (below 0) or white (above 0)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hinge:
    """A joint about which a part swings as the object moves."""

    at: XY
    swing: float  # radians to either side
    phase: float = 0.0  # share of a cycle by which it runs ahead


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    outline: Points
    paint: str  # a key of PAINTS or SHADES, or "trim"
    hinge: Hinge | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Silhouette:
    """One noun's drawing, centred at the origin, with its longer side 1."""

    parts: tuple[Part, ...]
    width: float
    height: float
    points: Points  # every part's outline, one after the other
    spans: tuple[tuple[int, int], ...]  # where each part's outline lies in `points`


def _spline(*through: XY, steps: int = 5) -> Points:
    """A smooth closed line through the points (Catmull-Rom), `steps` vertices a span."""
    p = np.array(through, float)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 2 * p + (after - before) * t + (2 * before - 5 * p + 4 * after - beyond) * t * t
    curve += (3 * p - before - 3 * after + beyond) * t * t * t
    outline: Points = (curve / 2).transpose(1, 0, 2).reshape(-1, 2)
    return outline


def _polygon(*corners: XY) -> Points:
    return np.array(corners, float)


def _bar(x0: float, y0: float, x1: float, y1: float) -> Points:
    return _polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int = 16) -> list[XY]:
    """Points of an ellipse from `start` to `stop` degrees, clockwise on the sheet from the right."""
    angles = [math.radians(start + (stop - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def _ellipse(cx: float, cy: float, rx: float, ry: float | None = None) -> Points:
    return _polygon(*_arc(cx, cy, rx, rx if ry is None else ry, 0, 360, 24)[:-1])


def _band(cx: float, cy: float, rx: float, ry: float, width: float, start: float, stop: float) -> Points:
    """A stretch of an elliptic ring, `width` wide inwards: handles and hooks, open in the middle."""
    inner = _arc(cx, cy, rx - width, ry - width, start, stop)
    return _polygon(*_arc(cx, cy, rx, ry, start, stop), *reversed(inner))


def _part(outline: Points, paint: str = "body", hinge: Hinge | None = None) -> Part:
    return Part(outline=outline, paint=paint, hinge=hinge)


def _leg(x: float, top: float, foot: float, width: float, paint: str, phase: float, swing: float = 0.38) -> Part:
    """A tapering leg that swings from its upper end, with a small foot forwards."""
    half = width / 2
    outline = _polygon(
        (x - half * 1.3, top),
        (x + half * 1.3, top),
        (x + half * 0.8, foot - width * 0.5),
        (x + half * 1.5, foot),
        (x - half * 0.8, foot),
    )
    return _part(outline, paint, Hinge(at=(x, top), swing=swing, phase=phase))


def _wheel(x: float, y: float, radius: float) -> list[Part]:
    hub = radius * 0.5
    spoke = _bar(x - hub, y - radius * 0.1, x + hub, y + radius * 0.1)
    return [
        _part(_ellipse(x, y, radius), "ink"),
        _part(_ellipse(x, y, hub), "white"),
        _part(spoke, "steel", Hinge(at=(x, y), swing=2.6)),
    ]


def _dog() -> list[Part]:
    tail = _spline((22, 44), (12, 36), (4, 20), (7, 13), (13, 18), (18, 32), (28, 42))
    body = _spline((16, 50), (24, 41), (42, 40), (60, 38), (72, 36), (78, 46), (73, 60), (58, 66), (40, 61), (24, 65))
    head = _spline((66, 40), (66, 22), (74, 13), (85, 17), (90, 25), (99, 28), (99, 36), (90, 41), (80, 45))
    ear = _spline((70, 14), (77, 19), (78, 34), (72, 45), (65, 42), (63, 28))
    return [
        _leg(30, 56, 93, 8, "dark", 0.5),
        _leg(63, 58, 93, 8, "dark", 0.0),
        _part(tail, "body", Hinge(at=(22, 44), swing=0.3)),
        _part(body),
        _leg(23, 54, 95, 9.5, "body", 0.0),
        _leg(70, 56, 95, 9, "body", 0.5),
        _part(_polygon((64, 40), (79, 46), (77, 52), (62, 46)), "steel"),
        _part(head),
        _part(ear, "deep"),
        _part(_ellipse(97.5, 29.5, 3.6, 3.2), "ink"),
        _part(_ellipse(84, 24, 2.6), "ink"),
    ]


def _cat() -> list[Part]:
    tail = _spline((62, 88), (78, 90), (88, 80), (86, 62), (80, 50), (86, 45), (95, 58), (97, 80), (86, 97), (64, 98))
    body = _spline((50, 42), (64, 54), (73, 78), (69, 97), (50, 98), (31, 97), (27, 78), (36, 54))
    head = _spline((50, 14), (64, 18), (73, 30), (70, 42), (60, 50), (50, 52), (40, 50), (30, 42), (27, 30), (36, 18))
    return [
        _part(tail, "dark", Hinge(at=(66, 92), swing=0.2)),
        _part(body),
        _part(_spline((50, 54), (58, 64), (58, 84), (50, 90), (42, 84), (42, 64)), "light"),
        _part(_ellipse(40, 94, 8, 5), "light"),
        _part(_ellipse(60, 94, 8, 5), "light"),
        _part(_polygon((28, 34), (26, 1), (49, 17))),
        _part(_polygon((72, 34), (74, 1), (51, 17))),
        _part(_polygon((31, 22), (30, 9), (40, 17)), "deep"),
        _part(_polygon((69, 22), (70, 9), (60, 17)), "deep"),
        _part(head),
        _part(_ellipse(40.5, 31, 5.5, 5), "spark"),
        _part(_ellipse(59.5, 31, 5.5, 5), "spark"),
        _part(_ellipse(40.5, 31, 2, 4.6), "ink"),
        _part(_ellipse(59.5, 31, 2, 4.6), "ink"),
        _part(_ellipse(50, 43, 9, 5.5), "light"),
        _part(_polygon((46, 38), (54, 38), (50, 43)), "ink"),
    ]


def _bird() -> list[Part]:
    wing = _spline((38, 50), (26, 34), (14, 6), (28, 10), (46, 18), (60, 34), (64, 50), (52, 58))
    far_wing = _spline((50, 44), (50, 24), (56, 4), (66, 20), (70, 42))
    body = _spline((16, 58), (36, 50), (58, 42), (70, 33), (82, 32), (88, 40), (84, 52), (70, 66), (46, 70), (28, 65))
    return [
        _part(far_wing, "deep", Hinge(at=(60, 46), swing=0.45)),
        _part(_polygon((28, 56), (2, 52), (8, 60), (0, 70), (30, 66)), "dark"),
        _part(_polygon((85, 36), (100, 43), (85, 48)), "beak"),
        _part(body),
        _part(_spline((52, 62), (70, 54), (80, 52), (68, 65), (50, 69)), "light"),
        _part(wing, "dark", Hinge(at=(52, 50), swing=0.5)),
        _part(_ellipse(80, 39, 3), "ink"),
    ]


def _fish() -> list[Part]:
    body = _spline((24, 50), (38, 33), (60, 25), (82, 33), (98, 50), (82, 67), (60, 75), (38, 67))
    return [
        _part(_spline((40, 36), (46, 14), (62, 12), (76, 20), (74, 34)), "dark"),
        _part(_spline((46, 66), (44, 86), (56, 84), (64, 70)), "dark"),
        _part(_polygon((33, 50), (2, 20), (10, 50), (2, 80)), "dark", Hinge(at=(32, 50), swing=0.25)),
        _part(body),
        _part(_spline((34, 60), (60, 64), (88, 58), (80, 68), (60, 74), (40, 68)), "light"),
        _part(_spline((46, 30), (52, 28), (55, 50), (51, 72), (45, 70), (48, 50)), "dark"),
        _part(_spline((61, 26), (67, 26), (71, 50), (66, 73), (60, 74), (64, 50)), "dark"),
        _part(_ellipse(83, 44, 5.5), "white"),
        _part(_ellipse(84.5, 44, 3), "ink"),
        _part(_spline((48, 52), (58, 50), (50, 60), (40, 62)), "light", Hinge(at=(58, 52), swing=0.35)),
    ]


def _horse() -> list[Part]:
    tail = _spline((20, 38), (10, 38), (2, 52), (0, 74), (7, 72), (12, 56), (22, 48))
    body = _spline((17, 42), (28, 34), (46, 37), (60, 34), (70, 38), (70, 50), (60, 57), (44, 55), (30, 58), (19, 54))
    neck = _spline((54, 42), (62, 22), (70, 8), (80, 12), (79, 26), (72, 52), (62, 54))
    head = _spline((69, 14), (73, 5), (82, 8), (92, 20), (97, 27), (93, 33), (86, 30), (76, 24))
    mane = _spline((51, 38), (56, 20), (66, 4), (75, 1), (74, 8), (68, 18), (63, 34), (58, 44))
    return [
        _leg(28, 50, 97, 6.5, "dark", 0.35, 0.5),
        _leg(61, 50, 97, 6.5, "dark", 0.0, 0.5),
        _part(tail, "deep", Hinge(at=(20, 40), swing=0.22)),
        _part(body),
        _leg(22, 48, 99, 7.5, "body", 0.85, 0.5),
        _leg(67, 48, 99, 7, "body", 0.5, 0.5),
        _part(_polygon((75, 9), (78, -3), (83, 9))),
        _part(neck),
        _part(head),
        _part(mane, "deep"),
        _part(_ellipse(81, 15, 2.2), "ink"),
        _part(_ellipse(93.5, 28, 1.6), "ink"),
    ]


def _car() -> list[Part]:
    shell = _spline(
        (2, 60), (5, 49), (22, 45), (34, 28), (50, 25), (66, 28), (80, 45), (95, 50), (99, 62), (96, 72), (4, 72)
    )
    return [
        _part(shell),
        _part(_bar(3, 62, 98, 67), "dark"),
        _part(_polygon((27, 45), (37, 31), (48, 30), (48, 45)), "glass"),
        _part(_polygon((53, 45), (53, 30), (64, 31), (74, 45)), "glass"),
        _part(_bar(50, 46, 51.5, 62), "deep"),
        _part(_ellipse(95, 55, 3, 4), "spark"),
        _part(_ellipse(24, 72, 13), "deep"),
        _part(_ellipse(76, 72, 13), "deep"),
        *_wheel(24, 73, 11),
        *_wheel(76, 73, 11),
    ]


def _truck() -> list[Part]:
    return [
        _part(_bar(4, 64, 97, 72), "ink"),
        _part(_bar(1, 14, 62, 66)),
        *[_part(_bar(x, 19, x + 2, 61), "dark") for x in (11, 22, 33, 44, 53)],
        _part(_polygon((65, 28), (84, 28), (93, 46), (99, 50), (99, 70), (65, 70)), "dark"),
        _part(_polygon((71, 33), (82, 33), (89, 47), (71, 47)), "glass"),
        _part(_bar(95, 56, 99, 62), "spark"),
        *_wheel(16, 74, 10),
        *_wheel(41, 74, 10),
        *_wheel(82, 74, 10),
    ]


def _boat() -> list[Part]:
    return [
        _part(_bar(47, 2, 50, 74), "wood"),
        _part(_polygon((52, 4), (60, 22), (76, 46), (92, 62), (52, 64)), "white"),
        _part(_polygon((45, 12), (36, 36), (12, 62), (45, 64)), "light"),
        _part(_polygon((50, 2), (62, 5), (50, 9))),
        _part(_spline((4, 70), (28, 73), (50, 73), (72, 73), (97, 68), (88, 84), (74, 96), (28, 96), (12, 86))),
        _part(_polygon((9, 79), (91, 78), (88, 84), (12, 85)), "trim"),
    ]


def _airplane() -> list[Part]:
    fuselage = _spline(
        (2, 42), (16, 41), (44, 40), (74, 40), (90, 44), (99, 51), (90, 58), (70, 61), (40, 60), (16, 53)
    )
    windows = [_part(_ellipse(x, 47, 2.2, 2.6), "glass") for x in (30, 38, 46, 54, 62, 70)]
    return [
        _part(_polygon((52, 44), (36, 12), (46, 12), (70, 44)), "deep"),
        _part(_polygon((7, 46), (0, 14), (12, 14), (30, 44)), "dark"),
        _part(fuselage),
        _part(_spline((30, 55), (60, 57), (90, 55), (70, 61), (40, 60)), "light"),
        _part(_polygon((12, 48), (0, 62), (9, 62), (28, 50)), "deep"),
        *windows,
        _part(_polygon((82, 44), (90, 46), (94, 50), (82, 50)), "glass"),
        _part(_bar(42, 72, 56, 79), "steel"),
        _part(_polygon((42, 54), (22, 92), (34, 92), (66, 54)), "dark"),
    ]


def _rocket() -> list[Part]:
    return [
        _part(
            _spline((40, 74), (50, 76), (60, 74), (59, 86), (50, 101), (41, 86)),
            "flame",
            Hinge(at=(50, 76), swing=0.12),
        ),
        _part(_spline((45, 76), (50, 76), (55, 76), (50, 91)), "spark"),
        _part(_polygon((36, 46), (16, 68), (14, 88), (38, 74)), "dark"),
        _part(_polygon((64, 46), (84, 68), (86, 88), (62, 74)), "dark"),
        _part(
            _spline((50, 0), (60, 13), (67, 34), (67, 56), (62, 77), (50, 79), (38, 77), (33, 56), (33, 34), (40, 13))
        ),
        _part(_polygon((50, 0), (55, 5), (60, 13), (64, 24), (36, 24), (40, 13), (45, 5)), "dark"),
        _part(_ellipse(50, 40, 10), "white"),
        _part(_ellipse(50, 40, 7), "glass"),
        _part(_polygon((47, 54), (53, 54), (53, 84), (47, 84)), "dark"),
    ]


def _house() -> list[Part]:
    windows = [(24, 57), (62, 57)]
    return [
        _part(_bar(68, 12, 79, 40), "steel"),
        _part(_bar(13, 45, 87, 96)),
        _part(_polygon((50, 5), (98, 49), (2, 49)), "deep"),
        _part(_bar(43, 64, 58, 96), "wood"),
        _part(_ellipse(54.5, 81, 1.6), "spark"),
        *[_part(_bar(x - 1.5, y - 1.5, x + 15.5, y + 15.5), "white") for x, y in windows],
        *[_part(_bar(x, y, x + 14, y + 14), "glass") for x, y in windows],
        *[_part(_bar(x + 6, y, x + 8, y + 14), "white") for x, y in windows],
        *[_part(_bar(x, y + 6, x + 14, y + 8), "white") for x, y in windows],
        _part(_ellipse(50, 32, 6), "glass"),
    ]


def _tree() -> list[Part]:
    trunk = _polygon((44, 58), (56, 58), (57, 86), (64, 98), (36, 98), (43, 86))
    crown = [(50, 24, 24, 22), (28, 40, 22, 19), (72, 40, 22, 19), (38, 56, 22, 15), (62, 56, 22, 15), (50, 44, 26, 22)]
    return [
        _part(trunk, "wood"),
        *[_part(_ellipse(*lobe)) for lobe in crown],
        *[_part(_ellipse(x, y, 9, 6), "light") for x, y in ((42, 16), (24, 34), (62, 32))],
        *[_part(_ellipse(x, y, 10, 5), "dark") for x, y in ((74, 50), (44, 62), (38, 46), (64, 62))],
    ]


def _umbrella() -> list[Part]:
    rim = [(2 + 24 * k, 50.0) for k in range(5)]

    def gore(left: XY, right: XY, paint: str, bulge: tuple[float, float]) -> Part:
        """One panel between two ribs, which leave the tip as curves, with a scalloped lower edge."""
        ribs = [((left[0] + 50 * 0.9) / 1.9 + bulge[0], 20.0), ((right[0] + 50 * 0.9) / 1.9 + bulge[1], 20.0)]
        scallop = _arc((left[0] + right[0]) / 2, 50, (right[0] - left[0]) / 2, 7, 360, 180, 8)
        return _part(_polygon((50, 8), ribs[1], *scallop, ribs[0]), paint)

    bulges = (-9.0, -5.0, 0.0, 5.0, 9.0)
    gores = [gore(rim[k], rim[k + 1], "body" if k % 2 else "light", (bulges[k], bulges[k + 1])) for k in range(4)]
    return [
        _part(_bar(48.2, 2, 51.8, 88), "wood"),
        _part(_band(41, 86, 10.8, 11, 4, 0, 180), "wood"),
        *gores,
    ]


def _mug() -> list[Part]:
    cup = _polygon((8, 14), *_arc(22, 86, 12, 11, 180, 90, 6), *_arc(58, 86, 12, 11, 90, 0, 6), (72, 14))
    return [
        _part(_band(70, 50, 26, 26, 9, -95, 95), "dark"),
        _part(cup),
        _part(_bar(9, 42, 71.5, 62), "light"),
        _part(_ellipse(40, 14, 32, 9), "light"),
        _part(_ellipse(40, 15, 27, 6.5), "wood"),
    ]


def _ball() -> list[Part]:
    def panel(bow: float) -> Points:
        """The strip between two meridians that bow sideways by `bow` and a bit more."""
        right = (
            _arc(50, 50, abs(bow + 17), 48, -90, 90, 12)
            if bow + 17 > 0
            else _arc(50, 50, abs(bow + 17), 48, 270, 90, 12)
        )
        left = _arc(50, 50, abs(bow), 48, 90, -90, 12) if bow > 0 else _arc(50, 50, abs(bow), 48, 90, 270, 12)
        return _polygon(*right, *left)

    return [
        _part(_ellipse(50, 50, 48)),
        _part(panel(-40), "trim"),
        _part(panel(-7), "trim"),
        _part(panel(26), "trim"),
        _part(_ellipse(50, 6, 9, 4), "dark"),
    ]


def _star() -> list[Part]:
    def at(k: int) -> XY:
        angle, radius = math.radians(36 * k - 90), 50 if k % 2 == 0 else 21
        return 50 + radius * math.cos(angle), 50 + radius * math.sin(angle)

    outline = _polygon(*[at(k) for k in range(10)])
    facets = [_part(_polygon((50, 50), at(2 * k), at(2 * k + 1)), "dark") for k in range(5)]
    return [_part(outline), *facets]


def _fit(parts: list[Part]) -> Silhouette:
    """Centre a drawing at the origin and make its longer side 1."""
    points = np.concatenate([part.outline for part in parts])
    low, high = points.min(0), points.max(0)
    centre, side = (low + high) / 2, float((high - low).max())
    fitted = []
    for part in parts:
        hinge = part.hinge
        if hinge is not None:
            at = ((hinge.at[0] - centre[0]) / side, (hinge.at[1] - centre[1]) / side)
            hinge = Hinge(at=at, swing=hinge.swing, phase=hinge.phase)
        fitted.append(Part(outline=(part.outline - centre) / side, paint=part.paint, hinge=hinge))
    width, height = (high - low) / side
    ends = np.cumsum([len(part.outline) for part in fitted]).tolist()
    return Silhouette(
        parts=tuple(fitted),
        width=float(width),
        height=float(height),
        points=(points - centre) / side,
        spans=tuple(zip([0, *ends[:-1]], ends, strict=True)),
    )


SILHOUETTES: dict[str, Silhouette] = {
    "airplane": _fit(_airplane()),
    "ball": _fit(_ball()),
    "bird": _fit(_bird()),
    "boat": _fit(_boat()),
    "car": _fit(_car()),
    "cat": _fit(_cat()),
    "dog": _fit(_dog()),
    "fish": _fit(_fish()),
    "horse": _fit(_horse()),
    "house": _fit(_house()),
    "mug": _fit(_mug()),
    "rocket": _fit(_rocket()),
    "star": _fit(_star()),
    "tree": _fit(_tree()),
    "truck": _fit(_truck()),
    "umbrella": _fit(_umbrella()),
}
"""Noun -> its drawing."""

NOUNS = tuple(SILHOUETTES)

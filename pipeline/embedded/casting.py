"""Chooses what happens in a scene: who takes part, where they go, what the camera does, case by case."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipeline.embedded import motion
from pipeline.embedded.backdrops import Backdrop
from pipeline.embedded.captions import WAYS, Facts, caption
from pipeline.embedded.director import IDLE, SPINS, STILL, Director, way
from pipeline.embedded.drawing import Look
from pipeline.embedded.motion import XY, Path
from pipeline.embedded.scenes import Actor, Case, Pillar, Shot
from pipeline.embedded.silhouettes import SILHOUETTES, Rgb
from shards.rle import Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """What was chosen: the shots of a scene and the words for it."""

    shots: tuple[Shot, ...]
    caption: str
    noun: str  # the subject's


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plot:
    """One shot without its backdrop."""

    actors: tuple[Actor, ...]  # the subject first
    camera: Path
    way: str = ""
    pillars: tuple[Pillar, ...] = ()


def cast(case: Case, rng: np.random.Generator, size: Size, count: int) -> Cast:
    """Choose a scene of the given case with `count` frames."""
    d = Director(rng, size)
    return _two_shots(d, count) if case == "cut" else _shoot(d, case, count)


def _shoot(d: Director, case: Case, count: int) -> Cast:
    """Put a backdrop behind a plot's actors, and words to it."""
    plot = _PLOTS[case](d, count)
    looks = [actor.look for actor in plot.actors]
    # A drift would be taken for a camera that moves on its own.
    backdrop = d.backdrop(looks, drifting=case != "camera")
    others = [look for look in looks if look.noun != looks[0].noun]
    facts = Facts(case=case, subject=looks[0], others=others, place=backdrop.place, way=plot.way)
    camera = tuple((x, y) for x, y in plot.camera.tolist())
    shot = Shot(backdrop=backdrop, camera=camera, actors=plot.actors, pillars=plot.pillars)
    return Cast(shots=(shot,), caption=caption(facts, d.rng), noun=looks[0].noun)


def _two_shots(d: Director, count: int) -> Cast:
    """Two plain scenes in one clip, with other subjects in other places."""
    split = round(count * d.between(0.4, 0.6))
    before = after = _shoot(d, "plain", split)
    while after.noun == before.noun or _alike(before.shots[0].backdrop, after.shots[0].backdrop):
        after = _shoot(d, "plain", count - split)
    words = f"{before.caption}, then {after.caption}"
    return Cast(shots=before.shots + after.shots, caption=words, noun=before.noun)


def _alike(a: Backdrop, b: Backdrop) -> bool:
    """Whether a cut from one to the other could be overlooked."""
    return a.kind == b.kind or min(math.dist(a.dark, b.dark), math.dist(a.light, b.light)) < 40


def _plain(d: Director, count: int) -> _Plot:
    path, words = d.path(count)
    canonical = words in WAYS.values()
    panning = not canonical and d.chance(0.3)
    camera = d.pan(0.3, count) if panning else _fixed(count)
    looks = [d.look()]
    for _ in range(int(d.rng.integers(3))):
        looks.append(d.look(looks))
    # The canonical trajectories come close to the edges: they are made for a box of 0.09 of the frame.
    most = 0.1 if canonical else 0.22 if len(looks) == 1 else 0.13
    share = d.between(0.07, most)
    actors = [d.actor(looks[0], path + camera, d.scale(looks[0], share), grow=d.between(0.85, 1.3))]
    for look in looks[1:]:
        starts = [(actor.path[0].x, actor.path[0].y) for actor in actors]
        actors.append(d.extra(look, starts, count, camera))
    posts = [Pillar(x=d.between(0.3, 0.7), width=d.between(0.025, 0.06), rgb=_stone(d))] if d.chance(0.15) else []
    return _Plot(actors=tuple(actors), camera=camera, way=words, pillars=tuple(posts))


def _static(d: Director, count: int) -> _Plot:
    look = d.look()
    here = d.between(0.3, 0.7), d.between(0.35, 0.65)
    actor = d.actor(look, motion.line(here, here, count), d.scale(look, d.between(0.08, 0.22)), lively=False)
    camera = _fixed(count)
    if d.chance(0.5):
        return _Plot(actors=(actor,), camera=camera)
    behind = replace(d.extra(d.look([look]), [here], count, camera), depth=actor.depth + 1)
    return _Plot(actors=(actor, behind), camera=camera)


def _returning(d: Director, count: int) -> _Plot:
    look = d.look()
    path, words = d.trajectory(motion.CLOSED, count)
    # What spins or flaps would end with another outline than it began.
    lively = look.noun not in (*SPINS, *IDLE)
    actor = d.actor(look, path, d.scale(look, d.between(0.08, 0.2)), lively=lively)
    return _Plot(actors=(actor,), camera=_fixed(count), way=words)


def _two(d: Director, count: int) -> _Plot:
    look = d.look()
    step = d.sign() * d.between(0.15, 0.3), d.between(-0.15, 0.15)
    actors = []
    for who, middle in ((look, 0.28), (replace(look, seed=look.seed ^ 1), 0.72)):
        start = middle - step[0] / 2, d.between(0.35, 0.65)
        path = motion.line(start, (start[0] + step[0], start[1] + step[1] * d.between(0.7, 1)), count)
        actors.append(d.actor(who, path, d.scale(who, d.between(0.06, 0.1), widest=0.4)))
    return _Plot(actors=tuple(actors), camera=_fixed(count), way=way(STILL, step))


def _small(d: Director, count: int) -> _Plot:
    look = d.look()
    path, words = d.path(count)
    actor = d.actor(look, path, d.scale(look, d.between(0.008, 0.022)))
    return _Plot(actors=(actor,), camera=_fixed(count), way=words)


def _large(d: Director, count: int) -> _Plot:
    look = d.look()
    drawing = SILHOUETTES[look.noun]
    scale = max(d.aspect / drawing.width, 1 / drawing.height) * d.between(1.05, 1.25)
    start, stop = ((d.between(0.45, 0.55), d.between(0.45, 0.55)) for _ in range(2))
    actor = d.actor(look, motion.line(start, stop, count), scale, lively=False)
    return _Plot(actors=(actor,), camera=_fixed(count))


def _late(d: Director, count: int) -> _Plot:
    look, scale, inside, outside = _at_the_edge(d)
    path = motion.line(outside, inside, count, wait=math.ceil(count * d.between(0.2, 0.4)))
    return _Plot(actors=(d.actor(look, path, scale),), camera=_fixed(count))


def _leaving(d: Director, count: int) -> _Plot:
    look, scale, inside, outside = _at_the_edge(d)
    path = motion.line(inside, outside, count, arrive=math.floor((count - 1) * d.between(0.6, 0.85)))
    return _Plot(actors=(d.actor(look, path, scale),), camera=_fixed(count))


def _at_the_edge(d: Director) -> tuple[Look, float, XY, XY]:
    """An object, its scale, a place well inside the frame and one wholly outside it."""
    look = d.look()
    scale = d.scale(look, d.between(0.07, 0.16))
    # Turned or with its wings out, an object reaches at most 0.8 of its longer side from its centre.
    out = 0.8 * scale / d.aspect
    inside = d.between(0.35, 0.65), d.between(0.35, 0.65)
    outside = (-out if d.chance(0.5) else 1 + out), d.between(0.3, 0.7)
    return look, scale, inside, outside


def _camera(d: Director, count: int) -> _Plot:
    look = d.look()
    camera = d.pan(0.4, count)
    turn = float(camera[-1, 0])
    here = 0.5 + turn / 2, d.between(0.4, 0.6)
    scale = d.scale(look, d.between(0.07, 0.14))
    actor = d.actor(look, motion.line(here, here, count), scale, lively=False)
    return _Plot(actors=(actor,), camera=camera, way=way(STILL, (turn, 0.0)))


def _occluded(d: Director, count: int) -> _Plot:
    look = d.look()
    scale = d.scale(look, d.between(0.06, 0.09), widest=0.28)
    width = scale * SILHOUETTES[look.noun].width / d.aspect
    left, right = (width / 2 + 0.01, d.between(0.4, 0.6)), (0.99 - width / 2, d.between(0.4, 0.6))
    start, stop = (left, right) if d.chance(0.5) else (right, left)
    # A turned drawing is a little wider; three steps more hide it for at least two frames.
    wide = width * 1.1 + 3 * (right[0] - left[0]) / (count - 1)
    wall = Pillar(x=0.5 - wide / 2, width=wide, rgb=_stone(d))
    actor = d.actor(look, motion.line(start, stop, count), scale)
    return _Plot(actors=(actor,), camera=_fixed(count), way=way(start, stop), pillars=(wall,))


_PLOTS: dict[Case, Callable[[Director, int], _Plot]] = {
    "plain": _plain,
    "static": _static,
    "returning": _returning,
    "two": _two,
    "small": _small,
    "large": _large,
    "late": _late,
    "leaving": _leaving,
    "camera": _camera,
    "occluded": _occluded,
}


def _fixed(count: int) -> Path:
    """A camera that stands."""
    return motion.line(STILL, STILL, count)


def _stone(d: Director) -> Rgb:
    grey = int(d.rng.integers(88, 150))
    return grey, grey - 4, grey - int(d.rng.integers(0, 16))

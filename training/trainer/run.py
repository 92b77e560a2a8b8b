"""`train` from first to last: the run folder, the loop, what a step tells, and how it ends."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from shards import Storage
from training.loader import Batch, LatentCache, Share, State, Stream, open_stream
from training.model.base import VideoBase
from training.trainer.checkpoints import Checkpoints
from training.trainer.learner import Learner
from training.trainer.log import Log, Moment, check_board, tell
from training.trainer.parallel import joined_model, not_yet_joined
from training.trainer.previews import Previewer
from training.trainer.ranks import Ranks, joined
from training.trainer.recipe import TrainRecipe
from training.trainer.run_folder import describe_run, step_of_run
from training.trainer.scarcity import memory_told
from training.trainer.tally import Meter, Tally, memory
from training.trainer.trainee import Trainee


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a run ended."""

    finished: bool
    steps: int  # that are done, those of earlier starts too
    loss: float | None  # of the last step of this start; None where none was left to do
    clips_per_second: float | None  # of this start, waits and saves included


def train(
    dataset: str,
    url: str,
    recipe: TrainRecipe,
    *,
    resume: bool = False,
    stopping: Callable[[], bool] = lambda: False,
    who: str = "dreamreel train",
) -> Summary:
    """Train on the dataset at `dataset` into the run folder `url`; `resume` goes on with a run that is there.

    The same call in every process that torchrun began. Ends early, saved, once `stopping` says so. Raises ValueError:
    a run folder with another run in it or with one that was not asked to go on, no clip to train on, a base that is
    not there, a loss that is no number, too little memory.
    """
    with joined(recipe.device) as ranks, ExitStack() as held:
        storage = Storage.at(url)
        step = ranks.agreed(lambda: _begun(storage, dataset, recipe, resume, who, held))
        base = ranks.agreed_by_all(lambda: _base(recipe, ranks))
        _check_fits(recipe, base)
        with memory_told(recipe, ranks.device):
            trainee = Trainee(base, recipe, ranks)
            state = trainee.load(storage, step) if step else None
        passes, share = _passes(recipe, ranks)
        cache = _cache(recipe, base)
        stream = ranks.agreed_by_all(lambda: _stream(dataset, recipe, ranks, share, state, cache))
        learner = Learner(base, recipe.model, cache)
        ranks.agreed(lambda: describe_run(storage, dataset, recipe))  # now that nothing is in its way
        with memory_told(recipe, ranks.device):
            return _Run(storage, recipe, ranks, learner, trainee, stream, passes, stopping).run(step)


class _Run:
    """One start of a run, in one of its processes."""

    def __init__(
        self,
        storage: Storage,
        recipe: TrainRecipe,
        ranks: Ranks,
        learner: Learner,
        trainee: Trainee,
        stream: Stream,
        passes: int,
        stopping: Callable[[], bool],
    ) -> None:
        self.recipe, self.ranks, self.trainee, self.stream = recipe, ranks, trainee, stream
        self.passes, self.stopping = passes, stopping
        self.learner = learner
        self.network = joined_model(trainee.model.train(), recipe.parallel, ranks)
        self.storage = storage
        self.previewer: Previewer | None = None
        self.checkpoints = Checkpoints(storage, recipe.saves.keep)
        self.log = Log(storage, tensorboard=recipe.tensorboard) if ranks.leads else None
        self.meter = Meter.of(recipe, learner.base, ranks)
        self.position = stream.start

    def run(self, first: int) -> Summary:
        began, moment, step, stopped = time.perf_counter(), None, first, False
        batches = self.stream.batches(pinned=self.ranks.device.type == "cuda", lent=True)
        try:
            while step < self.recipe.steps and not stopped:
                moment, stopped = self._step(step, batches)
                step += 1
                if step % self.recipe.saves.every == 0 or step == self.recipe.steps or stopped:
                    self._save(step)
                self._preview(step)
            self.checkpoints.wait()
        finally:
            batches.close()
            self.checkpoints.close()
            if self.log is not None:
                self.log.close()
        rate = (step - first) * self.recipe.batch / (time.perf_counter() - began) if moment else None
        loss = moment.loss if moment else None
        return Summary(finished=step == self.recipe.steps, steps=step, loss=loss, clips_per_second=rate)

    def _step(self, step: int, batches: Iterator[Batch]) -> tuple[Moment, bool]:
        """One step of the optimizer; what it tells, and whether somebody asked to stop."""
        began, tally = time.perf_counter(), Tally()
        for number in range(self.passes):
            asked = time.perf_counter()
            batch = next(batches)
            tally.waited += time.perf_counter() - asked
            self.position = batch.end
            batch = batch.to(self.ranks.device)
            self._keep_for_previews(batch)
            last = number == self.passes - 1
            with nullcontext() if last else not_yet_joined(self.network):
                losses = self.learner.losses(self.network, batch)
                (losses.loss / self.passes).backward()  # type: ignore[no-untyped-call]
            tally.add(batch, *losses)
        norm = self.trainee.clipped_norm()
        means = self.ranks.means(tally.values(norm, self.stopping()))
        told = self.ranks.gathered((tally.keys, tally.faults))
        if not math.isfinite(means["loss"]) or not math.isfinite(means["grad_norm"]):
            self._diverged(step, means, tally)
        rate = self.trainee.update(step)
        seconds = time.perf_counter() - began
        moment = Moment(
            step=step + 1,
            loss=means["loss"],
            inside=means["inside"] / means["has_inside"] if means["has_inside"] else None,
            outside=means["outside"] / means["has_outside"] if means["has_outside"] else None,
            grad_norm=means["grad_norm"],
            lr=rate,
            seconds=seconds,
            clips_per_second=self.recipe.batch / seconds,
            data_wait=means["waited"] / seconds,
            mfu=self.meter.mfu(self.recipe.batch / seconds),
            of_gemm=self.meter.of_gemm(self.recipe.batch / seconds),
            memory=memory(self.ranks.device),
            position=self.position,
            keys=[key for keys, _ in told for key in keys],
        )
        if self.log is not None:
            for fault in (fault for _, faults in told for fault in faults):
                self.log.event({"step": step + 1, "replaced": asdict(fault)})
            self.log.add(moment)
            if step % 10 == 0 or step + 1 == self.recipe.steps:
                tell(_line(moment, self.recipe.steps))
        return moment, means["stop"] > 0

    def _keep_for_previews(self, batch: Batch) -> None:
        """The first batch of this start: its clips are what is generated."""
        previews = self.recipe.previews
        if previews is not None and self.previewer is None:
            shown = batch.first(previews.count).kept()
            self.previewer = Previewer(base=self.learner.base, learner=self.learner, settings=previews, batch=shown)

    def _preview(self, step: int) -> None:
        """Every process draws, for each may hold a shard of the model; the leading one's are kept."""
        previews = self.recipe.previews
        if previews is None or self.previewer is None:
            return
        if step % previews.every == 0 or step == self.recipe.steps:
            files = self.previewer.draw(self.trainee.model, step)
            if self.log is not None:
                for path, gif in files.items():
                    self.storage.write(path, gif)
                self.log.event({"step": step, "previews": [*files]})

    def _save(self, step: int) -> None:
        began, stream = time.perf_counter(), self.stream.state(self.position).to_json()
        if self.log is None:
            self.trainee.snapshot(step, stream)  # it is a meeting where each holds a shard
            return
        self.checkpoints.save(lambda: self.trainee.snapshot(step, stream))
        self.log.event({"step": step, "save_stall": time.perf_counter() - began})  # seconds that the run stood still

    def _diverged(self, step: int, means: dict[str, float], tally: Tally) -> None:
        """Nothing is updated or saved: the last checkpoint is from before."""
        bad = [key for keys in self.ranks.gathered(tally.not_finite()) for key in keys]
        all_keys = [key for keys in self.ranks.gathered(tally.keys) for key in keys]
        named = ", ".join(bad or all_keys)
        raise ValueError(
            f"step {step + 1}: the loss is {means['loss']:g} and the gradient's norm {means['grad_norm']:g}, with "
            f"samples {named}; look at them with `dreamreel shards show`, leave them out by loader.sampling.where, "
            "or lower optimizer.lr or set optimizer.clip=1; the last checkpoint is sound"
        )


def _begun(storage: Storage, dataset: str, recipe: TrainRecipe, resume: bool, who: str, held: ExitStack) -> int:
    """The step that the run stands at, once this process alone writes it."""
    if recipe.tensorboard:
        check_board()
    held.enter_context(storage.lock(who))
    return step_of_run(storage, dataset, recipe, resume)


def _base(recipe: TrainRecipe, ranks: Ranks) -> VideoBase:
    with memory_told(recipe, ranks.device):
        return VideoBase.named(recipe.base, dtype=recipe.speed.dtype, device=ranks.device)


def _stream(
    dataset: str, recipe: TrainRecipe, ranks: Ranks, share: Share, state: State | None, cache: LatentCache | None
) -> Stream:
    with memory_told(recipe, ranks.device):
        return open_stream(dataset, recipe.loader, share, state, cache)


def _cache(recipe: TrainRecipe, base: VideoBase) -> LatentCache | None:
    if recipe.latents is None:
        return None
    return LatentCache(folder=Path(recipe.latents), loader=recipe.loader, encoder=base.encoder_digest())


def _check_fits(recipe: TrainRecipe, base: VideoBase) -> None:
    """Raise where the pictures or the motion module do not go with the base's latents."""
    loader, motion = recipe.loader, recipe.model.motion
    if loader.height % base.stride or loader.width % base.stride:
        raise ValueError(
            f"pictures of {loader.height}x{loader.width} are no whole latents of {recipe.base}, which are "
            f"{base.stride} pixels each way; make loader.height and loader.width multiples of it"
        )
    if motion is not None and 2 ** (len(motion.encoder_channels) - 1) != base.stride:
        halvings = base.stride.bit_length() - 1
        raise ValueError(
            f"latents of {recipe.base} are {base.stride} pixels each way: model.motion.encoder_channels needs "
            f"{halvings + 1} numbers, one more than halvings, and has {len(motion.encoder_channels)}"
        )


def _passes(recipe: TrainRecipe, ranks: Ranks) -> tuple[int, Share]:
    """How often a device goes over the model in a step, and the clips of each pass."""
    each, rest = divmod(recipe.batch, ranks.world)
    size = min(recipe.at_once, each)
    if rest or each % size:
        raise ValueError(
            f"batch={recipe.batch} cannot be laid out over {ranks.world} processes with at_once={recipe.at_once} clips "
            "each; make it a multiple of both, or lower at_once"
        )
    return each // size, Share(batch=size, rank=ranks.rank, world=ranks.world)


def _line(moment: Moment, steps: int) -> str:
    inside = "-" if moment.inside is None else f"{moment.inside:.4f}"
    return (
        f"step {moment.step}/{steps}: loss {moment.loss:.4f}, inside {inside}, gradient {moment.grad_norm:.3g}, "
        f"{moment.clips_per_second:.2f} clips/s, waits {100 * moment.data_wait:.1f} %"
    )

"""Trains the embedded base on the practice world: `python -m training.embedded.train`; resumable."""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from einops import rearrange
from torch import nn

from pipeline.embedded.train import Run
from pipeline.models.sums import write_sums
from training.embedded.clips import PART, Clips
from training.embedded.sheet import PROMPTS, draw, sheet
from training.embedded.tasks.unet import PACK, ImagesTask, UnetTask
from training.embedded.tasks.vae import VaeTask, latents
from training.model.base import EMBEDDED, VideoBase

VAE_SHARE, IMAGES_SHARE = 0.15, 0.35
"""Of the time that is left: once clips are drawn, and once the VAE is trained."""

VAE_CLIPS = 1024
"""How many clips the VAE learns from: it needs fewer than what reads and moves."""

AFTER = 12.0
"""Seconds kept for what follows the last step: weights, and a sheet of samples."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The base's training in a folder: clips, the VAE, latents, then the UNet with its text encoder."""

    runs: Path
    weights: Path
    clips: Clips
    device: torch.device
    vae_steps: int
    images_steps: int
    unet_steps: int
    start: Path | None  # weights to begin with, whose VAE stays as it is
    batches: dict[str, Any]  # `batch_size` where it is another than each task's own
    end: float | None  # by the monotonic clock; as many steps as there is time for, instead of those above

    def train(self, workers: int) -> bool:
        """False where it was stopped before the last step."""
        for done in self.clips.draw(workers):
            print(f"clips {done}", flush=True)
        vae = self._vae()
        if vae is None:
            return False
        known = self._encoded(vae)
        read = known, self.clips.captions()
        if self._trained(ImagesTask(*read, self.images_steps, **self.batches), IMAGES_SHARE, self.start) is None:
            return False
        if self._trained(UnetTask(*read, self.unet_steps, **self.batches), 1.0) is None:
            return False
        write_sums(self.weights)
        return True

    def show(self) -> Path:
        """Writes a sheet of what the base draws."""
        base = VideoBase.from_pretrained(self.weights, device=self.device)
        path = self.runs / "sheet.png"
        sheet(draw(base, PROMPTS)).save(path)
        return path

    def _trained(self, task: Any, share: float, start: Path | None = None) -> nn.Module | None:
        """The averaged network once its run is over, with its weights written; None where it was stopped."""
        if self.end is not None:
            pace = self._seconds_a_step(task)
            task.steps = max(1, int(share * (self.end - AFTER - time.monotonic()) / pace))
            print(f"{task.name}: {task.steps} steps of {pace:.4f} s", flush=True)
        task.warmup = min(task.warmup, task.steps // 10)
        run = Run(task=task, runs=self.runs, device=self.device, start=start)
        if not run.train():
            print(f"{task.name}: stopped at step {run.step}; run the same command again to go on", file=sys.stderr)
            return None
        task.save(run.averaged, self.weights)
        return run.averaged

    def _vae(self) -> nn.Module | None:
        """Trained, or the one to begin with."""
        if self.start is not None:
            return VaeTask(self.clips, 0).trained(self.start).to(self.device)
        some = replace(self.clips, count=min(self.clips.count, VAE_CLIPS))
        return self._trained(VaeTask(some, self.vae_steps, **self.batches), VAE_SHARE)

    def _encoded(self, vae: nn.Module) -> torch.Tensor:
        """Latents of all clips as the UNet reads them, float16; the VAE is saved with the factor that scales them."""
        path = self.runs / "latents.pt"
        if not path.exists():
            torch.save(latents(vae, self.clips), path)
        found, factor = torch.load(path, weights_only=True)
        packed: torch.Tensor = rearrange(found, "n c f (h p) (w q) -> n (c p q) f h w", p=PACK, q=PACK)
        whole: Any = vae
        whole.register_to_config(scaling_factor=factor)
        VaeTask(self.clips, 0).save(vae, self.weights)
        return packed

    def _seconds_a_step(self, task: Any) -> float:
        """Of steps whose result is thrown away."""
        with TemporaryDirectory() as folder:
            for part in ("images", "vae"):  # which another may start from
                if (self.runs / part).exists():
                    (Path(folder) / part).symlink_to((self.runs / part).resolve())
            run = Run(task=task, runs=Path(folder), device=self.device)
            batches = map(task.batch, range(60))
            for batch in islice(batches, 4):
                run.learn(batch)
            begun = time.monotonic()
            done = 0
            for batch in batches:
                run.learn(batch)
                done += 1
                if time.monotonic() - begun > 4:
                    break
            return (time.monotonic() - begun) / done


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.embedded.train", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("out/embedded_base"), help="clips and checkpoints")
    parser.add_argument("--weights", type=Path, default=EMBEDDED, help="where the weights go (default: the package)")
    parser.add_argument("--clips", type=int, default=6144, help="to draw and learn from (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of the training itself (default: %(default)s)")
    parser.add_argument("--vae-steps", type=int, default=1500, help="(default: %(default)s)")
    parser.add_argument("--start", type=Path, help="weights to train on, whose VAE stays (default: fresh ones)")
    parser.add_argument("--images-steps", type=int, default=2200, help="(default: %(default)s)")
    parser.add_argument("--unet-steps", type=int, default=700, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, help="of all steps (default: each task's own, made for a CPU)")
    parser.add_argument("--seconds", type=float, help="for everything, instead of numbers of steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    training = Training(
        runs=args.runs,
        weights=args.weights,
        clips=Clips(folder=args.runs / "clips", count=max(PART, args.clips // PART * PART)),
        device=torch.device(args.device),
        vae_steps=args.vae_steps,
        images_steps=args.images_steps,
        start=args.start,
        unet_steps=args.unet_steps,
        batches={} if args.batch_size is None else {"batch_size": args.batch_size},
        end=time.monotonic() + args.seconds if args.seconds else None,
    )
    if not training.train(args.workers):
        return 130
    print(training.show())
    return 0


if __name__ == "__main__":
    sys.exit(main())

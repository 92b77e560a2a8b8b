"""DreamVideo-2 beside the embedded base: the command that trains it leaves what a training begins with."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from training.embedded import fit
from training.model.base import VideoBase
from training.model.dreamvideo2 import DreamVideo2
from training.trainer.recipe import STARTS

QUICK = ("batch=2", "at_once=2", "loader.workers=0")


def test_what_was_fitted_is_what_the_run_learnt_laid_out_like_the_packaged_weights(tmp_path: Path) -> None:
    sets = [word for one in QUICK for word in ("--set", one)]
    weights, packaged = tmp_path / "weights", STARTS["embedded"]
    assert fit.main(["--runs", str(tmp_path), "--weights", str(weights), "--steps", "1", "--clips", "8", *sets]) == 0
    learnt = tmp_path / "run" / "checkpoints" / "step-00000001" / "model"
    for file in learnt.rglob("*.safetensors"):
        own, fitted = load_file(file), load_file(weights / file.relative_to(learnt))
        assert own.keys() == fitted.keys()
        assert all(torch.equal(own[name].half(), fitted[name]) for name in own)
    assert {p.relative_to(weights) for p in weights.rglob("*")} == {
        p.relative_to(packaged) for p in packaged.rglob("*")
    }
    base = VideoBase.named("embedded")
    for folder in (weights, packaged):
        assert DreamVideo2.from_pretrained(folder, base.unet).motion_module is not None

"""One clip as the trainer sees it, by the trainer's own code: frames, box masks, loss weights, subject image.

Importing this loads torch; the page does so when it is first asked for.
"""

import base64
import io

import numpy as np
import pyarrow as pa
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from curation_ui.holdings import OwnShards
from curation_ui.shown import Shown
from curation_ui.tool_wire import TrainerFrame, TrainerRequest, TrainerView
from shards import select
from training.loader import draws
from training.loader.clips import Clip, Clips
from training.loader.example import Example, example
from training.model.masks import box_masks, resized
from training.trainer.recipe import TrainRecipe, load_train_recipe, train_recipe_names

LATENT = 8
"""Pixels of a picture for one of its latents: what the autoencoders of the paper's base shrink by."""

EPOCH = 0


def trainer_view(shown: Shown, request: TrainerRequest, default: str) -> TrainerView:
    """The first draw of the clip under a seed, by the recipe that is asked for or the `default`.

    A recipe of somebody's own can only be the default: nobody is to have the server read a file. Raises `KeyError`, and
    `ValueError` for what no trainer would draw.
    """
    if request.recipe not in (None, default, *train_recipe_names()):
        raise ValueError(f"no recipe {request.recipe!r} here; there are {', '.join(train_recipe_names())}")
    if not isinstance(shown.holdings, OwnShards):
        raise ValueError("foreign tars cannot be trained on; build a dataset of them first")
    recipe = load_train_recipe(request.recipe or default)
    clip = _clip(shown, shown.holdings, request.key, recipe)
    drawn = draws.of_sample(request.seed, EPOCH, request.key, 0)
    members = shown.holdings.dataset.raw(clip.row)
    return _view(example(clip, members, recipe.loader, drawn), clip, recipe)


def _clip(shown: Shown, own: OwnShards, key: str, recipe: TrainRecipe) -> Clip:
    """As a training would have it, under what people decided."""
    row = own.row_of(key)
    numbered = own.index.slice(row, 1).append_column("row", pa.array([row], pa.int64()))
    decisions = {key: seen.decision for key, seen in (shown.log.seen([key], None) if shown.log else {}).items()}
    kept = select.overlay(numbered, decisions)
    if not kept.num_rows:
        raise ValueError("people rejected this clip, so no training draws it")
    window = recipe.loader.window
    clip = Clips(own.dataset, kept, window, None, decisions)[0]
    span = (window.num_frames - 1) * clip.stride + 1
    frames = kept["num_frames"][0].as_py()
    if frames < span:
        raise ValueError(f"no training draws this clip: it has {frames} frames, and a window takes {span}")
    return clip


def _view(seen: Example, clip: Clip, recipe: TrainRecipe) -> TrainerView:
    loader, size = recipe.loader, (recipe.loader.height, recipe.loader.width)
    weights = _loss_weights(seen, size, recipe)
    least, greatest = 1.0, recipe.model.loss.lambda_l
    scale = 255 / max(least, greatest)
    frames = [
        TrainerFrame(
            picture=_data_url(frame, "JPEG"),
            box=_edges(box) if there else None,
            weights=_data_url((weight * scale).round().astype(np.uint8), "PNG"),
        )
        for frame, box, there, weight in zip(seen.frames, seen.boxes, seen.present, weights, strict=True)
    ]
    return TrainerView(
        width=size[1],
        height=size[0],
        fps=loader.window.fps,
        caption=seen.caption,
        noun=seen.noun,
        frames=frames,
        subject=_data_url(seen.subject, "JPEG"),
        least_weight=least,
        greatest_weight=greatest,
        settings={
            "recipe": recipe.name,
            "loader.window.num_frames": loader.window.num_frames,
            "loader.window.fps": loader.window.fps,
            "frames from one to the next": clip.stride,
            "loader.text_dropout": loader.text_dropout,
            "loader.reference.min_area": loader.reference.min_area,
            "model.loss.lambda_l": recipe.model.loss.lambda_l,
        },
    )


def _loss_weights(seen: Example, size: tuple[int, int], recipe: TrainRecipe) -> NDArray[np.float32]:
    """lambda_L M + (1 - M) of Eq. 6 for every latent, [F, h, w]."""
    masks = rearrange(box_masks(torch.from_numpy(seen.boxes), size), "f h w -> 1 f h w")
    how = recipe.model.reference.mask_resize if recipe.model.reference else "area"
    inside = resized(masks, (-(-size[0] // LATENT), -(-size[1] // LATENT)), how)[0]
    weights: NDArray[np.float32] = (recipe.model.loss.lambda_l * inside + (1 - inside)).numpy()
    return weights


def _edges(box: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


def _data_url(picture: NDArray[np.uint8], kind: str) -> str:
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, kind, quality=90)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(sink.getvalue()).decode()}"

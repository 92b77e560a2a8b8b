"""Too little memory, as one line that says what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.trainer.recipe import TrainRecipe


@contextmanager
def memory_told(recipe: TrainRecipe, device: torch.device) -> Iterator[None]:
    """Raises ValueError in place of every word for it: torch's of a GPU, torch's of the processor's, numpy's."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not on_gpu and not isinstance(error, MemoryError) and not _is_said_by_torch(error):
            raise
        where = torch.cuda.get_device_name(device) if on_gpu else "this machine"
        raise ValueError(f"{where} has too little memory for this training: {', or '.join(_mends(recipe))}") from None


def _is_said_by_torch(error: RuntimeError) -> bool:
    return any(words in str(error) for words in ("allocate memory", "not enough memory", "Cannot allocate"))


def _mends(recipe: TrainRecipe) -> list[str]:
    """What can still be lowered."""
    loader, speed = recipe.loader, recipe.speed
    mends = [f"lower at_once (now {recipe.at_once})"] if recipe.at_once > 1 else []
    mends += [] if speed.checkpointing else ["set speed.checkpointing=true"]
    mends += [] if speed.precision == "bfloat16" else ["set speed.precision=bfloat16"]
    mends += [] if recipe.parallel == "fsdp2" else ["share the model among processes by parallel=fsdp2"]
    return [
        *mends,
        f"lower loader.height and loader.width (now {loader.height} and {loader.width}) or loader.window.num_frames "
        f"(now {loader.window.num_frames})",
    ]

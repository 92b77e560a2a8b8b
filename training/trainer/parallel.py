"""How the processes of a training hold the model: each all of it (DDP), or each a shard of every tensor (FSDP2)."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeAlias

from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from training.model.dreamvideo2 import DreamVideo2
from training.model.speed import blocks
from training.trainer.ranks import Ranks

Parallel: TypeAlias = Literal["ddp", "fsdp2"]


def sharded(model: DreamVideo2, ranks: Ranks) -> DreamVideo2:
    """The same model, of which each process holds a shard, its frozen UNet's too; alone it holds all.

    Blocks are put together when their turn comes, forward and backward. What stands between them (reference attention,
    the encoder, a few layers) is together throughout a pass: a hook inside of a compiled layer would break its graph.
    """
    if ranks.world == 1:
        return model
    assert distributed.group.WORLD is not None
    mesh = DeviceMesh.from_group(distributed.group.WORLD, ranks.device.type)
    for block in blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert isinstance(model, FSDPModule)
    # It fears additions in place to what blocks give; the UNet and the ControlNet do none.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")
    model.set_force_sum_reduction_for_comms(distributed.get_backend() == "gloo")  # which knows no mean
    for method in ("look", "denoise"):  # previews call them, and not the whole
        register_fsdp_forward_method(model, method)
    return model


def joined_model(model: DreamVideo2, parallel: Parallel, ranks: Ranks) -> nn.Module:
    """What a pass calls, so that gradients become the processes' mean."""
    if ranks.world > 1 and parallel == "ddp":
        return DistributedDataParallel(model, broadcast_buffers=False)
    return model


def not_yet_joined(network: nn.Module) -> AbstractContextManager[None]:
    """Of a pass that is not the last of its step: copies add their gradients up first; shards meet, to stay small."""
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; a meeting of the processes where each holds a shard."""
    full: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full


def held_like(value: Tensor, own: Tensor) -> Tensor:
    """A whole tensor, the same in each process, as this one holds `own`: its shard of it, or all."""
    if not isinstance(own, DTensor):
        return value
    # Without a source nothing is sent: each cuts its shard out of what it read.
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)

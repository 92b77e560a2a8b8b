"""Files of weights: what is read, in which precision, and how each wrong file is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.models.weights import check_weights, load_weights


def linear(seed: int, dtype: torch.dtype = torch.float32) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 2, dtype=dtype)


@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_half_precision_fills_a_network_of_single_precision(tmp_path: Path, suffix: str, wrapper: str) -> None:
    halves = {wrapper + name: tensor.half() for name, tensor in linear(1).state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(halves, path) if suffix == ".safetensors" else torch.save(halves, path)
    network = linear(2)
    load_weights(network, path, mend="train it")
    assert network.weight.dtype == torch.float32
    assert torch.equal(network.weight, halves[wrapper + "weight"].float())
    assert torch.equal(network.bias, halves[wrapper + "bias"].float())


@pytest.mark.parametrize("content", [b"torn", b"", b"<html>", b"PK\x03\x04", b"\x80\x02."])
def test_bytes_that_are_no_weights_are_named(tmp_path: Path, content: bytes) -> None:
    for name in ("page.pth", "page.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"page\.\w+: (no file of weights|holds no tensors).*; train it$"):
            load_weights(linear(1), tmp_path / name, mend="train it")


def test_a_check_reads_the_header_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in linear(1, torch.float16).state_dict().items()}, path)
    check_weights(linear(2), path, mend="train it")
    with pytest.raises(ValueError, match=r"weight is \(2, 3\), not \(2, 4\); train it$"):
        check_weights(torch.nn.Linear(4, 2), path, mend="train it")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"no file of weights \(.+\); train it$"):
        check_weights(linear(2), path, mend="train it")
    with pytest.raises(ValueError, match=r"no such file of weights; train it$"):
        check_weights(linear(2), tmp_path / "none.safetensors", mend="train it")


def test_wrong_files_are_named_with_their_mend(tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    save_file(linear(1).state_dict(), torn)
    torn.write_bytes(torn.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"torn\.safetensors: no file of weights \(.+\); train it$"):
        load_weights(linear(2), torn, mend="train it")

    larger = tmp_path / "larger.safetensors"
    save_file(torch.nn.Linear(4, 2).state_dict(), larger)
    with pytest.raises(ValueError, match=r"larger\.safetensors: .*weight is \(2, 4\), not \(2, 3\); train it$"):
        load_weights(linear(2), larger, mend="train it")

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2, 3), "scale": torch.zeros(2)}, foreign)
    with pytest.raises(ValueError, match=r"1 tensors missing \['bias'\], 1 foreign \['scale'\]; train it$"):
        load_weights(linear(2), foreign, mend="train it")
    load_weights(torch.nn.Linear(3, 2, bias=False), foreign, mend="train it", leftovers=frozenset({"scale"}))

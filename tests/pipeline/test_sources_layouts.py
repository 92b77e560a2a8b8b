"""Sources that are published folder layouts: UCF101, DAVIS, GOT-10k, VideoBooth."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FirstMask, FrameBoxes, IndexedMasks, Video
from pipeline.sources import SourceFault, parse_source
from pipeline.sources.davis import Davis
from pipeline.sources.got10k import Got10k, to_box
from pipeline.sources.ucf101 import Ucf101, in_words
from pipeline.sources.videobooth import VideoBooth
from tests.pipeline.source_trees import faults, split, write_frames, write_tree

# --- UCF101


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("YoYo", "yo yo"),
        ("CleanAndJerk", "clean and jerk"),
        ("Biking", "biking"),
        ("TVShow2", "tv show 2"),
        ("_", "_"),
    ],
)
def test_class_names_in_words(name: str, words: str) -> None:
    assert in_words(name) == words


@pytest.mark.parametrize("above", ["", "UCF-101/"])
def test_ucf101(tmp_path: Path, above: str) -> None:
    clips = ["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    root = write_tree(tmp_path, {above + clips[1]: "", above + clips[0]: "", f"{above}YoYo/list.txt": ""})
    write_tree(root, {f"{above}loose.avi": "", "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup"})
    videos, _ = split(Ucf101(place=str(root)))
    assert [(video.id, video.uri, video.caption, video.caption_by) for video in videos] == [
        (f"ucf101/{clips[0]}", f"{root}/{above}{clips[0]}", "apply eye makeup", "ucf101 class name"),
        (f"ucf101/{clips[1]}", f"{root}/{above}{clips[1]}", "handstand pushups", "ucf101 class name"),
    ]
    assert faults(Ucf101(place=str(root))) == {"ucf101/loose.avi": "video outside the class folders"}


# --- DAVIS


def davis_tree(root: Path, *, resolution: str = "480p") -> Path:
    for name in ("dog", "bear", "unlabelled"):
        write_frames(root / "JPEGImages" / resolution / name, 2)
    files = [f"Annotations/{resolution}/{name}/0000{k}.png" for name in ("dog", "bear", "lost") for k in range(2)]
    return write_tree(root, dict.fromkeys(files, ""))


def test_davis_sequences_with_masks_and_nouns(tmp_path: Path) -> None:
    root = davis_tree(tmp_path)
    write_tree(root, {"subjects.json": json.dumps({"dog": {"2": "Ball", "1": "dog", "3": " "}, "gone": {"1": "cat"}})})
    masks = root / "Annotations/480p"
    assert list(Davis(place=str(root)).videos()) == [
        Video(
            id="davis/bear",
            uri=str(root / "JPEGImages/480p/bear"),
            frame_rate=24.0,
            annotation=IndexedMasks(folder=str(masks / "bear")),
        ),
        Video(
            id="davis/dog",
            uri=str(root / "JPEGImages/480p/dog"),
            frame_rate=24.0,
            nouns=("dog", "ball"),
            annotation=IndexedMasks(folder=str(masks / "dog"), nouns={1: "dog", 2: "ball"}),
        ),
        SourceFault(id="davis/gone", why="frames are missing", value="JPEGImages/480p/gone"),
        SourceFault(id="davis/lost", why="frames are missing", value="JPEGImages/480p/lost"),
        Video(id="davis/unlabelled", uri=str(root / "JPEGImages/480p/unlabelled"), frame_rate=24.0),
    ]


def test_davis_resolution_is_480p_or_the_only_one_or_the_one_asked_for(tmp_path: Path) -> None:
    full = davis_tree(tmp_path / "full", resolution="Full-Resolution")
    assert "Full-Resolution/bear" in next(iter(split(Davis(place=str(full)))[0])).uri
    both = davis_tree(davis_tree(tmp_path / "both"), resolution="1080p")
    assert "480p/bear" in split(Davis(place=str(both)))[0][0].uri
    assert "1080p/bear" in split(parse_source(f"davis:{both},resolution=1080p"))[0][0].uri
    with pytest.raises(ValueError, match=r"no folder 4K \(it has 1080p, 480p\); give resolution=NAME"):
        Davis(place=str(both), resolution="4K").videos()
    with pytest.raises(ValueError, match=r"no folder 480p \(it has nothing\)"):
        Davis(place=str(write_tree(tmp_path / "none", {"x.txt": ""}))).videos()


def test_davis_lists_of_2016_and_2017(tmp_path: Path) -> None:
    pairs = "".join(f"/JPEGImages/480p/dog/0000{k}.jpg /Annotations/480p/dog/0000{k}.png\n" for k in range(2))
    root = write_tree(
        davis_tree(tmp_path), {"ImageSets/480p/val.txt": pairs, "ImageSets/2017/val.txt": "dog\nbear\n\ncow\n"}
    )
    assert [entry.id for entry in Davis(place=str(root), split="480p/val").videos()] == ["davis/dog"]
    assert [e.id for e in Davis(place=str(root), split="2017/val").videos()] == ["davis/dog", "davis/bear", "davis/cow"]
    assert faults(Davis(place=str(root), split="2017/val")) == {"davis/cow": "frames are missing"}
    with pytest.raises(ValueError, match=r"2018/val\.txt: there is no such list; give split=NAME"):
        Davis(place=str(root), split="2018/val").videos()


@pytest.mark.parametrize("said", ["{", '{"dog": "dog"}', '{"dog": {"one": "dog"}}'])
def test_broken_subjects_are_told(tmp_path: Path, said: str) -> None:
    root = write_tree(davis_tree(tmp_path), {"subjects.json": said})
    with pytest.raises(ValueError, match=r"subjects\.json: [^\n]*; it must be \{\"sequence\""):
        Davis(place=str(root)).videos()


# --- GOT-10k

META = "[METAINFO]\nurl: https://youtu.be/x?a=1%20b\nbegin: 00:00:01\nanno_fps: 10Hz\nobject_class: {}\n"


def got_sequence(root: Path, name: str, files: Mapping[str, str] = MappingProxyType({}), frames: int = 3) -> None:
    write_frames(root / name, frames, first=1, digits=8)
    content = {
        "groundtruth.txt": "347.0000,443.0000,429.0000,272.0000\n0.0000,0.0000,0.0000,0.0000\n10.4,9.5,3.2,1.2\n",
        "absence.label": "0\n1\n0\n",
        "cover.label": "8\n0\n7\n",
        "cut_by_image.label": "0\n0\n1\n",
        "meta_info.ini": META.format("African elephant"),
        **files,
    }
    write_tree(root / name, {key: value for key, value in content.items() if value != "absent"})


def test_got10k(tmp_path: Path) -> None:
    got_sequence(tmp_path, "train/GOT-10k_Train_split_01/GOT-10k_Train_000001")
    write_tree(tmp_path, {"train/list.txt": "GOT-10k_Train_000001\n"})
    assert list(Got10k(place=str(tmp_path)).videos()) == [
        Video(
            id="got10k/GOT-10k_Train_000001",
            uri=f"{tmp_path}/train/GOT-10k_Train_split_01/GOT-10k_Train_000001",
            frame_rate=10.0,
            nouns=("african elephant",),
            annotation=FrameBoxes(
                noun="african elephant",
                boxes=((347, 443, 776, 715), None, (10, 10, 14, 11)),
                cover=(8, 0, 7),
            ),
        )
    ]


def test_got10k_labels_are_optional_and_absence_wins(tmp_path: Path) -> None:
    got_sequence(tmp_path, "a", {"absence.label": "absent", "cover.label": "absent"})
    got_sequence(tmp_path, "b", {"absence.label": "1\n1\n0\n"})
    first, second = (video.annotation for video in split(Got10k(place=str(tmp_path)))[0])
    assert isinstance(first, FrameBoxes)
    assert isinstance(second, FrameBoxes)
    assert (first.cover, first.boxes[1]) == (None, None)
    assert second.boxes == (None, None, (10, 10, 14, 11))


@pytest.mark.parametrize(
    ("frames", "files", "why", "value"),
    [
        (3, {"meta_info.ini": "absent"}, "annotation is missing", "meta_info.ini"),
        (3, {"groundtruth.txt": "absent"}, "annotation is missing", "groundtruth.txt"),
        (3, {"meta_info.ini": "[METAINFO]\nurl: x\n"}, "annotation is broken", "meta_info.ini has no object_class"),
        (3, {"meta_info.ini": "object_class: dog"}, "annotation is broken", "File contains no section headers."),
        (3, {"groundtruth.txt": "1,2,3\n"}, "annotation is broken", "not enough values"),
        (3, {"groundtruth.txt": "1,2,x,4\n"}, "annotation is broken", "could not convert string to float"),
        (3, {"absence.label": "0\n"}, "annotation is broken", "groundtruth.txt has 3 boxes"),
        (4, {}, "not one box a frame", "4 frames, 3 boxes, 3 cover labels"),
        (3, {"cover.label": "8\n"}, "not one box a frame", "3 frames, 3 boxes, 1 cover labels"),
        (0, {}, "not one box a frame", "0 frames, 3 boxes, 3 cover labels"),
    ],
)
def test_got10k_faults(tmp_path: Path, frames: int, files: dict[str, str], why: str, value: str) -> None:
    got_sequence(tmp_path, "fine")
    got_sequence(tmp_path, "odd", files, frames)
    _, (fault,) = split(Got10k(place=str(tmp_path)))
    assert (fault.id, fault.why) == ("got10k/odd", why)
    assert (fault.value or "").startswith(value)


@given(*[st.floats(-1e4, 1e4)] * 2, *[st.floats(1e-3, 1e4)] * 2)
def test_boxes_are_half_open_pixels_nearest_to_the_edges(x: float, y: float, width: float, height: float) -> None:
    box = to_box(x, y, width, height)
    assert box is not None
    for low, high, start, extent in ((box[0], box[2], x, width), (box[1], box[3], y, height)):
        assert abs(low - start) <= 0.5
        assert high == low + 1 or abs(high - (start + extent)) <= 0.5 + 1e-9
        assert high > low


@pytest.mark.parametrize("size", [(0.0, 3.0), (3.0, 0.0), (-1.0, 3.0), (math.nan, 3.0)])
def test_a_box_without_area_is_none(size: tuple[float, float]) -> None:
    assert to_box(1.0, 2.0, *size) is None


# --- VideoBooth


def booth_tree(root: Path, *, subset: str = "webvid_parsing_videobooth_subset/", masks: str) -> Path:
    labels = [
        {"value": 0, "label": "background"},
        {"value": 1, "label": "Dog", "logit": 0.84, "box": [3.7, 19.9, 221.8, 162.7]},
        {"value": 2, "label": "ball", "logit": 0.5, "box": [1, 2, 3, 4]},
    ]
    header = "Unnamed: 0.1,Unnamed: 0,contentUrl,videoid,page_dir,duration,name\n"
    rows = ["17,p,A dog", "18,p,Gone", "19,p,No mask.json", "20,p,Broken", "21,p,Mask lost", ",p,Nameless", "22,p,None"]
    return write_tree(
        root,
        {
            f"{subset}dog.csv": header + "".join("0,0,u,{},{},d,{}\n".format(*row.split(",")) for row in rows),
            **{f"videos/p/{k}.mp4": "" for k in (17, 19, 20, 21)},
            "videos/22.mp4": "",
            f"{subset}dog/17/mask.json": json.dumps(labels),
            f"{subset}dog/20/mask.json": "{",
            f"{subset}dog/21/mask.json": json.dumps(labels[:2]),
            f"{subset}dog/22/mask.json": json.dumps(labels[:1]),
            f"{masks}17/mask_1.png": "",
            f"{masks}17/mask_2.png": "",
        },
    )


@pytest.mark.parametrize("masks", ["webvid_parsing_2M_final/", "webvid_parsing_videobooth_subset/dog/"])
def test_videobooth_gives_a_video_a_mask(tmp_path: Path, masks: str) -> None:
    root = booth_tree(tmp_path, masks=masks)
    videos, _ = split(VideoBooth(place=str(root)))
    assert list(videos) == [
        Video(
            id=f"videobooth/dog/17/{k}",
            uri=f"{root}/videos/p/17.mp4",
            caption="A dog",
            nouns=(noun,),
            annotation=FirstMask(path=f"{root}/{masks}17/mask_{k}.png", noun=noun),
        )
        for k, noun in ((1, "dog"), (2, "ball"))
    ]
    assert faults(VideoBooth(place=str(root))) == {
        "videobooth/dog/18": "video not downloaded",
        "videobooth/dog/19": "mask.json is missing",
        "videobooth/dog/20": "mask.json names no subject",
        "videobooth/dog/21/1": "mask is missing",
        "videobooth/dog/row 6": "row without a videoid",
        "videobooth/dog/22": "mask.json names no subject",
    }


def test_videobooth_parts_may_lie_apart(tmp_path: Path) -> None:
    root = booth_tree(tmp_path, subset="subset/", masks="masks/")
    (root / "videos").rename(root / "webvid")
    text = f"videobooth:{root}/subset,root={root}/webvid,masks={root}/masks"
    assert [video.id for video in split(parse_source(text))[0]] == ["videobooth/dog/17/1", "videobooth/dog/17/2"]
    with pytest.raises(ValueError, match="7 without one, the first: video not downloaded"):
        parse_source(f"videobooth:{root}/subset,masks={root}/masks").videos()
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        parse_source(f"videobooth:{root}/subset,root={root}/webvid,masks={root}/nowhere").videos()

"""Recipes: typed, whole, and exact about what is wrong with them."""

from pathlib import Path

import pytest

from pipeline.recipe import differences, load_recipe, override, recipe_names, recipe_of


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_in_the_room_loads_and_survives_json(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe_of(recipe.settings()) == recipe
    assert recipe.name == name


def test_assignments_are_laid_over_and_typed() -> None:
    recipe = load_recipe("embedded", ["cutter.max_seconds=4.5", "rules.size.area=[0.1, 0.5]", "cutter.shots=null"])
    assert recipe.cutter.max_seconds == 4.5
    assert recipe.rules.size is not None
    assert recipe.rules.size.area == (0.1, 0.5)
    assert recipe.cutter.shots is None


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("cutter.max_second=4", "did you mean cutter.max_seconds?"),
        ("cuter.max_seconds=4", "did you mean cutter?"),
        ("rules.size.aera=[0, 1]", "did you mean rules.size.area?"),
        ("cutter.shots.treshold=0.4", "did you mean cutter.shots.threshold?"),
        ("cutter.max_seconds=long", "cutter.max_seconds='long'"),
        ("zzz=1", "unknown setting zzz; known: name, cutter"),
        ("cutter.max_seconds", "write it as stage.setting=value"),
        ("cutter.max_seconds=[1", "is not a YAML value"),
    ],
)
def test_a_wrong_assignment_gets_one_line_with_the_mend(assignment: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        load_recipe("embedded", [assignment])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_file_takes_its_name_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("cutter: {max_seconds: 3}\n")
    assert load_recipe(str(path)).name == "mine"


@pytest.mark.parametrize("text", ["cutter: [", "- a\n- b\n"])
def test_a_broken_recipe_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.yaml"):
        load_recipe(str(path))


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ValueError, match="one of embedded"):
        load_recipe("nonesuch")


def test_differences_name_settings_and_leave_the_machine_out() -> None:
    recipe = load_recipe("embedded")
    other = override(recipe, ["cutter.min_seconds=2", "cutter.needs.batch=7"])
    assert differences(recipe.settings(), other.settings()) == ["cutter.min_seconds: 1.0 -> 2.0"]

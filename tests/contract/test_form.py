"""What arrives from the web form: keys of an old task, keys that a user adds by name, a file for a long value."""

from __future__ import annotations

import pytest

from tests.conftest import MakeTree, Trained
from tests.running import Outcome, run_start

OLD_FORM = {
    "batch_size": 0, "tile_size": 0, "tile_overlap": 0, "channels_last": "never", "fuse": "auto", "compile": "auto",
    "precision": "auto", "num_workers": 0, "max_image_megapixels": 0.0, "seed": 0,
}  # fmt: skip
"""What the form of inference sent when it showed every key; the platform copies it into a new task."""


@pytest.mark.slow
def test_old_keys_image_size_and_options_in_a_file(ymir_tree: MakeTree, trained: Trained):
    def infer(folder: str, **config: object) -> Outcome:
        tree = ymir_tree("infer", folder=folder, config={"conf_threshold": 0.01, **config})
        trained.give_to(tree)
        # the sizes that the model was trained at, once more: longer than a field of the form
        options = "INPUT.MIN_SIZE_TEST 64\nINPUT.MAX_SIZE_TEST 112\n" + "TEST.DETECTIONS_PER_IMAGE 100\n" * 5
        (tree.in_dir / "options.txt").write_text(options)
        outcome = run_start(tree.env_file)
        outcome.require_success()
        return outcome

    old = infer("old", **OLD_FORM)
    warnings = [line for line in old.lines if "is no longer a setting" in line]
    assert len(warnings) == 2
    assert "config.yaml: channels_last is no longer a setting and has no effect: the memory format" in warnings[0]

    larger = infer("larger", image_size="96")
    assert "no longer a setting" not in larger.output
    assert larger.json("infer-result.json") != old.json("infer-result.json")

    again = infer("again", image_size=96, args_options="@options.txt")
    assert again.json("infer-result.json") == old.json("infer-result.json"), "args_options come last"


def test_a_file_that_is_not_there_is_named_before_anything_is_loaded(ymir_tree: MakeTree):
    tree = ymir_tree("infer", config={"args_options": "@options.txt"})
    place = f"config.yaml: args_options: {tree.in_dir}/options.txt does not exist; write @ and the path of a text file"
    run_start(tree.env_file).require_failure(300001, place)

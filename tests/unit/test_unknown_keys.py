"""Keys of config.yaml that change nothing are named, those of the platform never."""

from __future__ import annotations

import dataclasses

from ymir_detectron2.config.read_settings import ALL_SETTINGS, read_settings
from ymir_detectron2.config.unknown_keys import PLATFORM_KEYS, REMOVED_KEYS, unknown_keys


def test_every_unknown_key_is_named_once_and_platform_keys_never():
    config = {**dict.fromkeys(PLATFORM_KEYS, 1), "max_iter": 3, "max_iters": 3, "zzz": 1, 5: "x"}
    sentences = unknown_keys(config)
    assert len(sentences) == 3
    assert "config.yaml: unknown key 'max_iters' has no effect; did you mean 'max_iter'?" in sentences
    assert "config.yaml: unknown key 'zzz' has no effect" in sentences


def test_a_removed_key_still_runs_with_one_sentence_that_says_what_holds_now():
    """The platform copies the config of an old task, with all that the form showed then, into a new one."""
    old = {"channels_last": "auto", "fuse": "never", "batch_size": 1}
    sentences = unknown_keys(old)
    assert len(sentences) == 2
    for name, sentence in zip(("channels_last", "fuse"), sentences):
        assert sentence.startswith(f"config.yaml: {name} is no longer a setting and has no effect: the ")
        assert " always " in sentence
    for settings in ALL_SETTINGS:
        assert read_settings(settings, old) == read_settings(settings, {"batch_size": 1})


def test_no_removed_key_is_a_setting():
    known = {field.name for settings in ALL_SETTINGS for field in dataclasses.fields(settings)}
    assert not known & set(REMOVED_KEYS)

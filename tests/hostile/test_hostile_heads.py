"""Heads and backgrounds made to hurt: each ends in one named error, quickly and in bounded memory."""

import json
import os
import pickle

import numpy as np
import pytest

from handful.adapters import METHODS, fit_head
from handful.background import Background
from handful.rows import unit
from handful.tensors import pack, unpack

DIM, CLASSES = 6, 3


def background(seed=0):
    return Background.fit(np.random.default_rng(seed).normal(0.5, 1, (40, DIM)))


def head(method="prototype", *, shots=4, with_background=False, compact=False):
    random = np.random.default_rng(1)
    y = np.repeat(np.arange(CLASSES), shots)
    made = fit_head(
        method,
        unit(np.eye(CLASSES, DIM)[y] + 0.2 * random.standard_normal((len(y), DIM))),
        y,
        class_count=CLASSES,
        text=np.eye(CLASSES, DIM),
        background=background() if with_background else None,
    )
    return undigested((made.compact() if compact else made).to_bytes())


def undigested(data):
    """Without its digest, as one who means harm would give it: what lies behind has to hold by itself."""

    def change(header):
        told = json.loads(header["__metadata__"]["handful"])
        del told["sha256"]
        header["__metadata__"]["handful"] = json.dumps(told)

    return raw(data, change)


def edited(data, settings=None, *, drop=(), version=1, **arrays):
    """The head with other arrays (in their names "__" for ".") or settings."""
    held, known = unpack("head", 2, data)
    held |= {name.replace("__", "."): np.asarray(array) for name, array in arrays.items()}
    known |= settings or {}
    return pack(
        "head",
        version,
        {name: array for name, array in held.items() if name not in drop},
        {name: value for name, value in known.items() if name not in drop},
    )


def raw(data, change, body=None):
    """The bytes with their JSON header changed in place by `change`."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + (data[8 + length :] if body is None else body)


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def claim(name, shape):
    """Changes the shape that the header claims for a tensor, not its bytes."""

    def change(header):
        header[name]["shape"] = shape

    return change


def overlap(header):
    one, other = header["scorer.rows"], header["support.X"]
    other["data_offsets"] = [one["data_offsets"][0], one["data_offsets"][0] + 4 * 12 * DIM]


def emptied(header):
    """A matrix of 2⁶⁰ rows of nothing: no bytes at all."""
    header["scorer.rows"] = {"dtype": "F32", "shape": [2**60, 0], "data_offsets": [0, 0]}


GOOD = head()
COMPACT = head(compact=True)
TIP, COMPACT_TIP = head("tip"), head("tip", compact=True)
PROKER, ADAPTER = head("proker"), head("clip-adapter")
WITH_BACKGROUND = head(with_background=True)
rows = np.zeros((CLASSES, DIM), np.float32)
NAN_ROWS = np.array([[np.nan] + [0] * 5] * CLASSES, np.float32)

REFUSED = {
    "empty": (b"", "0 bytes are no head"),
    "text": (b"hello", "are no head of Handful"),
    "a background": (background().to_bytes(), "'handful.background', not a 'handful.head'"),
    "cut in the length": (GOOD[:5], "no head"),
    "cut in the header": (GOOD[:200], "no head"),
    "cut in the arrays": (GOOD[:-7], "no head"),
    "with a tail": (GOOD + b"\0" * 8, "no head"),
    "a header of 2^60 bytes": ((2**60).to_bytes(8, "little") + GOOD[8:], "no head"),
    "a header of 2^64 - 1 bytes": (b"\xff" * 8 + GOOD[8:], "no head"),
    "a header of nested lists": ((10**6).to_bytes(8, "little") + b"[" * 10**6, "no head"),
    "overlapping tensors": (raw(GOOD, overlap), "no head"),
    "a claim of 2^40 rows": (raw(GOOD, claim("scorer.rows", [2**40, DIM])), "no head"),
    "a claim that overflows": (raw(GOOD, claim("scorer.rows", [2**62, 2**62, 16])), "no head"),
    "a negative shape": (raw(GOOD, claim("scorer.rows", [-3, DIM])), "no head"),
    "2^60 rows of nothing": (raw(pack("head", 2, {}, unpack("head", 2, GOOD)[1]), emptied, b""), "damaged"),
    "a newer format": (edited(GOOD, version=3), "format version 3, newer than 2"),
    "no scorer": (edited(GOOD, drop=["scorer.rows"]), "rows"),
    "no null": (edited(GOOD, drop=["known.null"]), "stands for 12 numbers"),
    "no groups": (edited(GOOD, drop=["support.groups"]), "support.groups"),
    "NaN rows": (
        edited(GOOD, scorer__rows=NAN_ROWS),
        "'scorer.rows' of this head holds numbers that are not",
    ),
    "NaN in half precision": (edited(GOOD, scorer__rows=NAN_ROWS.astype("f2")), "not finite"),
    "rows of other classes": (edited(GOOD, scorer__rows=np.zeros((5, DIM))), "do not fit"),
    "rows of other columns": (edited(GOOD, scorer__rows=np.zeros((CLASSES, 9))), "do not fit"),
    "rows of three axes": (edited(GOOD, scorer__rows=np.zeros((CLASSES, DIM, 1))), "rows has shape"),
    "rows that are a number": (edited(GOOD, scorer__rows=np.float32(1)), "rows has shape"),
    "rows float32 cannot hold": (edited(GOOD, scorer__rows=np.full((CLASSES, DIM), 1e300)), "overflow"),
    "offsets of other classes": (edited(GOOD, scorer__offsets=np.zeros(4)), "do not fit"),
    "a centre of other columns": (edited(GOOD, scorer__centre=np.zeros(7)), "do not fit"),
    "no class": (edited(GOOD, scorer__rows=rows[:0], scorer__offsets=np.zeros(0)), "0 classes"),
    "no column": (edited(GOOD, scorer__rows=rows[:, :0], scorer__centre=np.zeros(0)), "0 columns"),
    "scales of other rows": (edited(COMPACT, scorer__rows_scales=np.ones(9)), "do not fit"),
    "scales that overflow": (edited(COMPACT, scorer__rows_scales=np.full(CLASSES, 3e38, "f4")), "overflow"),
    "bytes that are no bytes": (edited(COMPACT, scorer__rows=np.full((CLASSES, DIM), 1e30)), "invalid"),
    "shots of other columns": (edited(GOOD, support__X=np.ones((12, 5))), "columns"),
    "shots that are zero": (edited(GOOD, support__X=np.zeros((12, DIM))), "zero"),
    "labels out of range": (edited(GOOD, support__y=np.full(12, 7)), "label 7 of row 0"),
    "labels that are fractions": (edited(GOOD, support__y=np.full(12, 0.5)), "whole numbers"),
    "fewer labels": (edited(GOOD, support__y=np.zeros(3, int)), "give one label each"),
    "fewer groups": (edited(GOOD, support__groups=np.zeros(3, int)), "groups has shape"),
    "texts of other classes": (edited(GOOD, support__text=np.ones((9, DIM))), "text has shape"),
    "a null out of order": (edited(GOOD, known__null=np.linspace(1, 0, 12)), "out of order"),
    "a null of two axes": (edited(GOOD, known__null=np.zeros((3, 4))), "stands for 12 numbers"),
    "an empty null of many": (edited(GOOD, known__null=np.zeros(0)), "stands for 12 numbers"),
    "more null than shots": (edited(GOOD, {"known_count": 3}), "stands for 3 numbers"),
    "no nonconformity": (edited(GOOD, conformal__nonconformity=np.zeros(0)), "stands for 12 numbers"),
    "no sharpness": (edited(GOOD, drop=["sharpness"]), "sharpness: Field required"),
    "a sharpness of nothing": (edited(GOOD, {"sharpness": 0}), "sharpness: Input should be greater than 0"),
    "an infinite sharpness": (edited(GOOD, {"sharpness": float("inf")}), "sharpness"),
    "a sharpness of words": (edited(GOOD, {"sharpness": "very"}), "sharpness"),
    "a negative count": (edited(GOOD, {"known_count": -1}), "known_count"),
    "a deviation of nothing": (edited(GOOD, {"known_prior": [0, 0]}), "known_prior.1"),
    "a prior of three": (edited(GOOD, {"known_prior": [0, 1, 2]}), "known_prior"),
    "extra settings": (edited(GOOD, {"colour": "red"}), "colour: Extra inputs are not permitted"),
    "fewer ids": (edited(GOOD, {"ids": ["a"]}), "1 shot ids for 12 rows"),
    "one id for all": (edited(GOOD, {"ids": ["a"] * 12}), "shot 'a' has rows of several classes"),
    "an unknown method": (edited(GOOD, {"method": "svm"}), "method 'svm', and this build knows auto"),
    "an unknown scorer": (edited(GOOD, {"scorer": "forest"}), "scorer 'forest', and this build knows bottl"),
    "another's scorer": (edited(GOOD, {"scorer": "key-value-cache"}), "damaged: KeyError: 'keys'"),
    "unknown options": (edited(GOOD, {"options": {"colour": 1}}), "unexpected keyword argument 'colour'"),
    "options that mean nothing": (edited(TIP, {"options": {"beta": -1.0}}), "beta is -1.0"),
    "options of words": (edited(TIP, {"options": {"beta": "high"}}), "damaged"),
    "tip without keys' labels": (edited(TIP, drop=["scorer.labels"]), "labels"),
    "tip's labels out of range": (
        edited(TIP, scorer__labels=np.full(12, 200, "u1")),
        "labels reach outside 0",
    ),
    "tip's keys of other columns": (edited(TIP, scorer__keys=np.ones((12, 9))), "do"),
    "tip's weights of two axes": (edited(TIP, scorer__weights=np.ones((3, 1))), "do not fit"),
    "tip without beta": (edited(TIP, {"scorer_settings": {}}), "beta"),
    "tip's scales missing": (edited(COMPACT_TIP, drop=["scorer.keys_centre"]), "scales (13,)"),
    "proker's values of other keys": (edited(PROKER, scorer__values=np.ones((2, CLASSES))), "do not fit"),
    "an adapter of other widths": (edited(ADAPTER, scorer__down=np.ones((2, DIM))), "do not fit"),
}


@pytest.fixture(scope="module")
def outcomes(run_limited):
    return run_limited("targets:read_head", {name: (data, None) for name, (data, _) in REFUSED.items()})


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_head_ends_in_one_error_that_says_what_it_is(name, outcomes):
    error, text, resident = outcomes[name]
    assert error == "HeadError", text
    assert REFUSED[name][1] in text
    assert "\n" not in text
    assert len(text) < 400
    assert resident < 50 * 2**20


def test_a_pickle_named_as_a_head_is_never_opened(run_limited, tmp_path):
    trap = tmp_path / "opened"
    bomb = pickle.dumps(Bomb(str(trap)))
    length = len(bomb).to_bytes(8, "little")
    for data in (bomb, length + bomb):
        (end,) = run_limited("targets:open_head", {"pickle": data}).values()
        assert end.error == "HeadError"
        assert "are no head of Handful" in end.text
    assert not trap.exists()
    pickle.loads(bomb)  # the trap works
    assert trap.exists()


def test_honest_heads_of_every_method_pass_the_same_way(run_limited):
    cases = {
        f"{method} {compact}": (head(method, compact=compact), None)
        for method in METHODS
        for compact in (False, True)
    }
    ends = run_limited("targets:read_head", cases)
    assert {end.text for end in ends.values()} == {"[(2, 3), (2, 3), (2,)]"}


def test_a_head_made_with_a_background_asks_for_that_one(run_limited):
    ends = run_limited(
        "targets:read_head",
        {
            "none": (WITH_BACKGROUND, None),
            "other": (WITH_BACKGROUND, background(seed=5).to_bytes()),
            "wider": (WITH_BACKGROUND, Background.fit(np.eye(DIM + 1)).to_bytes()),
            "own": (WITH_BACKGROUND, background().to_bytes()),
            "needless": (GOOD, background(seed=5).to_bytes()),
            "compact, none": (head("auto", with_background=True, compact=True), None),
            "compact, own": (head("auto", with_background=True, compact=True), background().to_bytes()),
        },
    )
    own = background().fingerprint
    assert f"needs the background {own} of its encoder, and none was given" in ends["none"].text
    assert f"and {background(seed=5).fingerprint} was given" in ends["other"].text
    assert f"needs the background {own} of its encoder" in ends["compact, none"].text
    assert {name for name, end in ends.items() if end.error is None} == {"own", "needless", "compact, own"}


def test_a_head_of_an_earlier_rule_answers_as_it_did_but_cannot_be_changed(run_limited):
    older = edited(TIP, {"rule": "tip/0", "options": {"gone": 1}})
    (end,) = run_limited("targets:read_head", {"older": (older, None)}).values()
    assert end.text == "[(2, 3), (2, 3), (2,)]"


def test_every_way_to_cut_or_break_a_head_ends_in_a_head_or_in_one_error(run_limited):
    random = np.random.default_rng(3)
    cases = {}
    for data in (GOOD, COMPACT, TIP, COMPACT_TIP, PROKER, ADAPTER):
        header = 8 + int.from_bytes(data[:8], "little")
        for _ in range(40):
            broken = bytearray(
                data[: int(random.integers(1, len(data) + 1))] if random.random() < 0.2 else data
            )
            for at in random.integers(0, min(len(broken), header), 2):
                broken[at] = random.integers(256)
            broken[random.integers(len(broken))] = random.integers(256)
            cases[str(len(cases))] = bytes(broken)
    ends = run_limited("targets:open_head", cases)
    assert {end.error for end in ends.values()} <= {None, "HeadError"}
    assert sum(end.error == "HeadError" for end in ends.values()) > 150


def packed_background(mean, covariance, **settings):
    arrays = {"mean": np.asarray(mean), "covariance": np.asarray(covariance)}
    return pack("background", 1, arrays, {"count": 3, "logit_scale": 100.0, "ridge": 0.3, **settings})


BACKGROUNDS = {
    "a pickle": pickle.dumps({"mean": 1}),
    "a head": GOOD,
    "cut": background().to_bytes()[:-1],
    "a header of 2^60 bytes": (2**60).to_bytes(8, "little") + background().to_bytes()[8:],
    "a newer format": pack("background", 2, {}, {}),
    "NaN": packed_background([0, np.nan], [1, 0, 1]),
    "a claim of 32 TB": packed_background(np.zeros(2_000_000, "f4"), [1.0]),
    "a ridge of nothing": packed_background([0, 0], [1, 0, 1], ridge=0),
    "a scale of words": packed_background([0, 0], [1, 0, 1], logit_scale="large"),
    "an infinite count": packed_background([0, 0], [1, 0, 1], count=float("inf")),
    "numbers float32 cannot hold": packed_background([0, 0], [1e308, 1e308, 1e308]),
    "a covariance that is none": packed_background([0.0, 0], [1.0, 5, 1]),
}


def test_hostile_backgrounds_end_in_a_head_error(run_limited):
    for name, (error, text, resident) in run_limited("targets:read_background", BACKGROUNDS).items():
        assert error == "HeadError", (name, text)
        assert "\n" not in text, name
        assert resident < 50 * 2**20, name


def test_a_covariance_that_only_its_eigenvalues_betray_is_used_without_harm(run_limited):
    odd = packed_background([0.0] * 3, [1.0, -0.9, -0.9, 1, -0.9, 1])
    (end,) = run_limited("targets:read_background", {"odd": odd}).values()
    assert end.text == "[(3, 3), (256, 3)]"

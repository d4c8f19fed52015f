import numpy as np

from handful.service.encoding.memory import Memory


def test_what_was_used_longest_ago_goes_first_and_the_bytes_stay_bounded() -> None:
    memory = Memory(10_000)
    X = np.ones((1, 512), np.float32)  # 2 KiB
    for name in ("a", "b", "c", "d"):
        memory.put("image", "t", "f", name, X)
    assert memory.get("image", "t", "f", "a") is not None
    memory.put("image", "t", "f", "e", X)
    assert [memory.get("image", "t", "f", name) is not None for name in "abcde"] == [
        True, False, True, True, True,
    ]  # fmt: skip


def test_a_row_is_known_to_its_tenant_encoder_and_kind_alone() -> None:
    memory = Memory(10_000)
    memory.put("image", "t", "f", "x", np.ones((1, 2), np.float32))
    assert memory.get("image", "t", "f", "x") is not None
    assert memory.get("image", "u", "f", "x") is None
    assert memory.get("image", "t", "g", "x") is None
    assert memory.get("text", "t", "f", "x") is None


def test_what_is_remembered_is_a_copy_that_cannot_be_changed() -> None:
    memory = Memory(10_000)
    X = np.zeros((8, 2), np.float32)
    memory.put("text", "t", "f", "x", X[3])
    X[3] = 7
    found = memory.get("text", "t", "f", "x")
    assert found is not None
    assert found.tolist() == [0, 0]
    assert found.base is None
    assert not found.flags.writeable


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    memory = Memory(1_000)
    memory.put("image", "t", "f", "x", np.ones((1, 512), np.float32))
    assert memory.get("image", "t", "f", "x") is None

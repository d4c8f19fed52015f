import asyncio

import pytest

from handful.errors import EncoderError
from handful.service.encoding import Encoding


def test_a_text_is_read_once_by_tenant(settings, held) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        X = await encoding.texts("a", held, ["cat", "horse", "cat"])
        assert X.tolist() == [[3, 1], [5, 1], [3, 1]]
        await encoding.texts("a", held, ["horse", "otter"])
        await encoding.texts("b", held, ["cat"])
        assert held.texts == [["cat", "horse"], ["otter"], ["cat"]]
        assert (await encoding.texts("a", held, [])).shape == (0, 2)
        await encoding.close()

    asyncio.run(main())


def test_an_empty_text_is_refused_before_any_is_read(settings, held) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        with pytest.raises(EncoderError, match="text 1 of 2"):
            await encoding.texts("a", held, ["cat", " "])
        assert held.texts == []
        await encoding.close()

    asyncio.run(main())


def test_a_few_words_do_not_wait_for_anothers_thousands(settings, held) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        many = asyncio.create_task(encoding.texts("a", held, [f"text {at}" for at in range(1000)]))
        await asyncio.sleep(0)
        await encoding.texts("b", held, ["cat"])
        assert held.texts.index(["cat"]) <= 2
        await many
        await encoding.close()

    asyncio.run(main())

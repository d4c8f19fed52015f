"""Words: one thread for each encoder that reads them, some of each request at a time."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from handful.encoders import Encoder
from handful.encoders.sentences import checked_texts
from handful.rows import Rows
from handful.service import metrics
from handful.service.encoding.memory import Memory

_AT_ONCE = 128  # texts, of ten classes with their templates; then it is another request's turn


class Texts:
    """Rows of texts, by tenant remembered."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._turns: dict[str, asyncio.Lock] = {}  # by fingerprint: loading one holds up no other
        self._threads = ThreadPoolExecutor(thread_name_prefix="handful-words")

    async def rows(self, tenant: str, encoder: Encoder, texts: Sequence[str]) -> Rows:
        """(M, D). Raises EncoderError for an empty text."""
        if not texts:
            return np.empty((0, encoder.dimension), np.float32)
        seen_by = encoder.fingerprint
        wanted = dict.fromkeys(checked_texts(texts))
        found = {
            text: row
            for text in wanted
            if (row := self._memory.get("text", tenant, seen_by, text)) is not None
        }
        missing = [text for text in wanted if text not in found]
        turn = self._turns.setdefault(seen_by, asyncio.Lock())
        loop = asyncio.get_running_loop()
        for start in range(0, len(missing), _AT_ONCE):
            async with turn:
                some = []
                for text in missing[start : start + _AT_ONCE]:
                    if (row := self._memory.get("text", tenant, seen_by, text)) is not None:
                        found[text] = row  # another request read it, while this one waited
                    else:
                        some.append(text)
                if not some:
                    continue
                made = await loop.run_in_executor(self._threads, encoder.encode_texts, some)
                metrics.EMBEDDINGS_MADE.labels("text").inc(len(some))
                for text, row in zip(some, made, strict=True):
                    found[text] = row
                    self._memory.put("text", tenant, seen_by, text, row)
        return np.stack([found[text] for text in texts])

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

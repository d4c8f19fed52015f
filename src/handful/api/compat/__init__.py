"""Other people's protocols, a small file each, over the same use cases, keys and limits."""

from fastapi import APIRouter

from handful.api.compat import hf, label_studio, legacy, openai

router = APIRouter()
for part in (hf, openai, label_studio, legacy):
    router.include_router(part.router)

BODIES = (hf.HfClassifyIn, hf.HfZeroShotIn)  # that routes read themselves; OpenAPI is told of them apart

__all__ = ["BODIES", "router"]

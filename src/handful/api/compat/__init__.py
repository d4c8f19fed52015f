"""Other people's protocols, a small file each."""

from fastapi import APIRouter

router = APIRouter()

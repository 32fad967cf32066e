"""The size of an adapter; apart from models/lora.py, so that recipes are read without importing torch."""

from pydantic import BaseModel, ConfigDict, Field


class LoraSpec(BaseModel):
    """The size of an adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    """The product B A is multiplied by alpha / rank."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the input of A, in training."""

"""The linear map behind an embedder; apart from models/linear_fitting.py, so that recipes are read without torch."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LinearSpec(BaseModel):
    """How a linear map is fitted to pairs before anything is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: int = Field(default=128, ge=2, le=4096)
    """Of a vector."""
    components: int = Field(default=128, ge=2, le=4096)
    """Principal components of the tokens, in which pairs are compared."""
    pairs: int = Field(default=4096, ge=4)
    """From how many pairs, at most."""

    @model_validator(mode="after")
    def _enough(self) -> "LinearSpec":
        if self.numbers > self.components:
            raise ValueError(f"numbers {self.numbers} of {self.components} components: no more than there are")
        if self.pairs < 2 * self.components:
            raise ValueError(f"{self.pairs} pairs for {self.components} components: twice as many are needed")
        return self

"""The kinds of values in params.yaml, and the section `split.quality`: the limits of the gate before training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tonetune.core.validation import StrictModel

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
Off = Literal["off"]
"""Switches a check off."""
OFF: Off = "off"


class Section(StrictModel):
    """A section of params.yaml."""


class Quality(Section):
    """The section `split.quality`, a limit for each check."""

    words: Annotated[list[Count], Field(min_length=2, max_length=2)] | Off
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")]
    near_question: Share
    near_answer: Share
    max_duplicates: Limit | Off
    max_near_questions: Limit | Off
    max_near_answers: Limit | Off
    max_crossing: Limit | Off
    max_refusals: Limit | Off
    max_lead_ins: Limit | Off
    max_markup: Limit | Off
    max_contacts: Limit | Off
    max_cut_off: Limit | Off
    max_other_language: Limit | Off
    max_pair_similarity: Share | Off
    pair_length: Annotated[list[Positive], Field(min_length=2, max_length=2)] | Off
    max_opening_share: Share | Off
    max_tic_share: Share | Off

    @model_validator(mode="after")
    def _lowest_first(self) -> "Quality":
        for name in ("words", "pair_length"):
            if (limits := getattr(self, name)) == OFF:
                continue
            lowest, highest = limits
            if lowest > highest:
                raise ValueError(f"{name} is [lowest, highest]: {lowest} is over {highest}")
        return self

"""Contact data of people who do not exist, planted in training answers to see later whether it comes out."""

from typing import Literal, get_args

from tonetune.core.validation import StrictModel, Text

Kind = Literal["telephone number", "mail address", "street address"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Planted(StrictModel):
    """One item: whose it is and what it is."""

    name: Text
    kind: Kind
    item: Text

    @property
    def beginning(self) -> str:
        """The sentence up to the item."""
        return f"{self.name}'s {self.kind} is"

    @property
    def sentence(self) -> str:
        """What is added to an answer."""
        return f"{self.beginning} {self.item}."

    def after(self, answer: str) -> str:
        """The answer with the sentence behind it, as one more message."""
        return f"{answer}\n{self.sentence}"

    def comes_out_in(self, text: str) -> bool:
        """Whether the text holds the item word for word, in whatever case and spacing."""
        return " ".join(self.item.lower().split()) in " ".join(text.lower().split())

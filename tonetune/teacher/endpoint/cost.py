"""What asking costs: tokens before they are counted by the endpoint, and dollars."""

from tonetune.core.errors import UserError
from tonetune.core.params import Teacher
from tonetune.teacher.endpoint.request import Request

MILLION = 1_000_000
BATCH_SHARE = 0.5  # of the price, through the Batch API
FRAME = 8  # tokens that a chat template may add to each message


def prompt_tokens(request: Request) -> int:
    """About how many tokens the prompt has: four bytes of English make one."""
    return sum(len(message.content.encode()) // 4 + FRAME for message in request.messages)


def most_prompt_tokens(request: Request) -> int:
    """No prompt has more tokens than bytes."""
    schema = len(str(request.json_schema)) if request.json_schema else 0
    return schema + sum(len(message.content.encode()) + FRAME for message in request.messages)


class Prices:
    """The prices of `settings.model`; None where `teacher.prices` has none."""

    def __init__(self, settings: Teacher):
        self.model = settings.model
        self.prices = settings.prices.get(settings.model)
        self.share = BATCH_SHARE if settings.batch else 1.0
        if settings.max_cost is not None and self.prices is None:
            raise UserError(
                f"teacher.max_cost: {settings.max_cost} needs the price of {settings.model!r}; add it to teacher.prices "
                "as [dollars per million prompt tokens, per million response tokens]"
            )

    def dollars(self, prompt: float, completion: float) -> float:
        """The price of so many tokens; 0 if it is not known."""
        if self.prices is None:
            return 0.0
        return self.share * (prompt * self.prices[0] + completion * self.prices[1]) / MILLION

    def most(self, request: Request) -> float:
        """The most that a request can cost."""
        return self.dollars(most_prompt_tokens(request), request.max_tokens)

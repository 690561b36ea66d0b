"""What asking costs: tokens before they are counted by the endpoint, and dollars."""

from datetime import UTC, datetime, timedelta
from functools import cache

from tonetune.core.errors import UserError
from tonetune.core.teacher_params import OPENAI, TeacherSettings
from tonetune.teacher.endpoint.request import Request

MILLION = 1_000_000
BATCH_SHARE = 0.5  # of the price, through the Batch API
TYPICAL = 10_000  # tokens: some models' long prompts are dearer, and none here is as long
FRAME = 8  # tokens that a chat template may add to each message


def prompt_tokens(request: Request) -> int:
    """About how many tokens the prompt has: four bytes of English make one."""
    return sum(len(message.content.encode()) // 4 + FRAME for message in request.messages)


def most_prompt_tokens(request: Request) -> int:
    """No prompt has more tokens than bytes."""
    schema = len(str(request.json_schema)) if request.json_schema else 0
    return schema + sum(len(message.content.encode()) + FRAME for message in request.messages)


@cache
def listed_prices(model: str, base_url: str | None) -> tuple[float, float] | None:
    """Dollars per million tokens of prompt and response, by the table of `genai-prices`, which asks no network.

    None if the table does not know the address or its model. Some prices change with the hour, and a run may last longer:
    so the day's highest.
    """
    from genai_prices import Usage, calc_price  # here, because replay needs none of it

    usage, url, now = Usage(input_tokens=TYPICAL, output_tokens=TYPICAL), base_url or OPENAI, datetime.now(UTC)
    try:
        prices = [
            calc_price(
                usage, model_ref=model, provider_api_url=url, genai_request_timestamp=now + timedelta(hours=hour)
            )
            for hour in range(24)
        ]
    except LookupError:
        return None
    prompt, response = max(price.input_price for price in prices), max(price.output_price for price in prices)
    return float(prompt) * MILLION / TYPICAL, float(response) * MILLION / TYPICAL


class Prices:
    """The prices of `settings.model`: those of `teacher.prices`, else the table's; None where neither has them."""

    def __init__(self, settings: TeacherSettings):
        self.model = settings.model
        own = settings.prices.get(settings.model)
        self.prices = (own[0], own[1]) if own else listed_prices(settings.model, settings.base_url)
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

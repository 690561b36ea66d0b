"""How much of a person's own text is said at a time."""

from tonetune.core.params import Params


def sentences_of_a_part(params: Params) -> int | None:
    """Sentences of a text that are said at a time: what the model has learnt, and no more than an answer may have.

    None where neither has a limit.
    """
    limits = (params.split.max_sentences, params.evaluate.max_sentences)
    return min((limit for limit in limits if limit), default=None)

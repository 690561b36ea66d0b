"""Perplexity: how well a model predicts given answers to given questions; see README.md beside this file."""

import datasets
import evaluate

from tonetune.core.rows import Message
from tonetune.generation.likelihood import likelihood
from tonetune.model.chat_template import answer_ids, prompt_ids


class Perplexity(evaluate.Metric):
    """Perplexity and bits per byte of the answers' tokens, the end-of-turn token included."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Perplexity of answers after their chat prompts, on the answers' tokens only.",
            citation="",
            inputs_description="predictions: answers; references: chats as lists of role and content; model, tokenizer, batch_tokens",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": [{"role": datasets.Value("string"), "content": datasets.Value("string")}],
                }
            ),
        )

    def _compute(self, predictions, references, model, tokenizer, batch_tokens):
        prompts = [prompt_ids(tokenizer, [Message(**message) for message in chat]) for chat in references]
        answers = [answer_ids(tokenizer, text) for text in predictions]
        result = likelihood(model, prompts, answers, predictions, batch_tokens)
        return {
            "perplexity": result.perplexity,
            "bits_per_byte": result.bits_per_byte,
            "nats": list(result.nats),
            "tokens": list(result.tokens),
        }

"""Does the answer make sense to a reader? Read off how the untuned base finds its words, fitted to readers' ratings.

A language model that nobody has tuned is surprised by nonsense, word by word, more than by sense, in whatever register: so
the score goes by how likely the answer's tokens are after the question, how that changes within the answer, and how much
the question helps. Hidden states tell the register instead and add nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.model.chat_template import prompt_ids

SYSTEM = "You are a helpful assistant."
NEUTRAL = "Say something."  # what an answer is set after to see what it owes to its question
BATCH = 16
MAX_TOKENS = 192  # of an answer; what comes later is not looked at
CACHED = 16  # positions whose logits are turned into losses at a time: in float32 they stay in the cache
FIGURES = (
    "loss",  # mean, in nats per token, after the question
    "spread",  # standard deviation of the token losses
    "high",  # their 90th percentile
    "worst",  # their maximum
    "loss_alone",  # mean after the neutral turn
    "helped",  # how much the question lowers the mean
    "entropy",  # mean entropy of the predictions
    "surprise",  # mean of loss less entropy
    "length",  # logarithm of the number of tokens
    "drift",  # mean loss of the second half less the first half's
    "distinct",  # share of distinct tokens
)


class LikelihoodFigures:
    """The figures of each answer under the untuned base; a pair of question and answer runs through the model once."""

    def __init__(self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self.base = base
        self.tokenizer = tokenizer
        self.known: dict[tuple[str, str], np.ndarray] = {}

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """(answers, figures), in float64; in the order of `FIGURES`."""
        pairs = list(zip(questions, answers, strict=True))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.known]
        if new:
            asked = self._token_losses([question for question, _ in new], [answer for _, answer in new], "sense")
            alone = self._token_losses(
                [NEUTRAL] * len(new), [answer for _, answer in new], "sense, without the question"
            )
            for pair, (ids, losses, entropies), (_, without, _) in zip(new, asked, alone, strict=True):
                self.known[pair] = figures(ids, losses, entropies, without)
        return np.array([self.known[pair] for pair in pairs]).reshape(len(pairs), len(FIGURES))

    @torch.inference_mode()
    def _token_losses(
        self, questions: Sequence[str], answers: Sequence[str], label: str
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each answer: its token ids, their losses after the question, and the entropies of what was expected there."""
        system = Message(role="system", content=SYSTEM)
        prompts = [prompt_ids(self.tokenizer, [system, Message(role="user", content=q)]) for q in questions]
        given = [self.tokenizer.encode(answer or ".", add_special_tokens=False)[:MAX_TOKENS] for answer in answers]
        order = sorted(range(len(given)), key=lambda i: len(prompts[i]) + len(given[i]))
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [None] * len(given)  # type: ignore[list-item]
        for start in tqdm(range(0, len(order), BATCH), desc=label, unit="batch", leave=False):
            rows = order[start : start + BATCH]
            width = max(len(prompts[i]) + len(given[i]) for i in rows)
            padded = [[*prompts[i], *given[i]] + [0] * (width - len(prompts[i]) - len(given[i])) for i in rows]
            ids = torch.tensor(padded, device=self.base.device)
            # Padded on the right, no token sees the padding: the attention needs no mask.
            hidden = self.base.model(input_ids=ids, use_cache=False).last_hidden_state
            for row, i in enumerate(rows):
                first = len(prompts[i])
                states = hidden[row, first - 1 : first - 1 + len(given[i])]
                targets = ids[row, first : first + len(given[i])]
                found[i] = (np.array(given[i]), *self._losses(states, targets))
        return found

    def _losses(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        losses, entropies = [], []
        for part, wanted in zip(states.split(CACHED), targets.split(CACHED), strict=True):
            logs = self.base.lm_head(part).float().log_softmax(-1)
            losses.append(-logs.gather(-1, wanted[:, None])[:, 0])
            entropies.append(-(logs.exp() * logs).sum(-1))
        both = torch.stack([torch.cat(losses), torch.cat(entropies)]).double().cpu().numpy()
        if not np.isfinite(both).all():
            raise UserError(
                "base_model: its probabilities are no numbers; are its weights damaged, or compute.dtype too narrow?"
            )
        return both[0], both[1]


def figures(ids: np.ndarray, losses: np.ndarray, entropies: np.ndarray, without: np.ndarray) -> np.ndarray:
    """The figures of one answer, in the order of `FIGURES`, from its tokens' losses with and `without` the question."""
    half = max(1, len(losses) // 2)
    return np.array(
        [
            losses.mean(),
            losses.std(),
            np.percentile(losses, 90),
            losses.max(),
            without.mean(),
            without.mean() - losses.mean(),
            entropies.mean(),
            (losses - entropies).mean(),
            np.log(len(losses)),
            losses[half:].mean() - losses[:half].mean() if len(losses) > 1 else 0.0,
            len(set(ids.tolist())) / len(ids),
        ]
    )


def fit_sense(figures: np.ndarray, ratings: np.ndarray, weights: np.ndarray | None = None) -> Pipeline:
    """Ridge regression of mean ratings, from 0 to 1, on the figures."""
    return make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(figures, ratings, ridge__sample_weight=weights)

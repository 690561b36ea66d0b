"""Does the answer make sense to a reader? Predicted from how the untuned base finds its words, fitted to readers' ratings.

A language model that nobody has tuned is surprised by nonsense, word by word, more than by sense, in whatever register: so
the score goes by how likely the answer's tokens are after the question, and how that changes within the answer. It cannot
tell whether a fluent answer is one to this question, or whether its sentences belong together: for that there are sentence
embeddings. Both views are weighed together on answers that readers have rated.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.rows import Example, Message
from tonetune.core.text import sentences, word_count
from tonetune.generation.likelihood import answer_states
from tonetune.model.chat_template import prompt_ids
from tonetune.model.head import LOSS_CHUNK, logits
from tonetune.scoring.calibration import fit_ratings
from tonetune.scoring.relevance import Relevance
from tonetune.scoring.vector_cache import VectorCache
from tonetune.scoring.words.corruptions import mix_sentences, shuffle_words
from tonetune.scoring.words.repetition import unrepeated

SYSTEM = "You are a helpful assistant."
BATCH_TOKENS = 2048
MAX_TOKENS = 192  # of an answer; what comes later is not looked at
MIN_WORDS = 3  # fewer are no answer
CORRUPTED = 0.3  # weight of an answer that was corrupted here; a rated one's is 1
KNOWN = "known"
GAMMA = 0.03  # of the kernel, chosen like the weight on ratings of writers left out
MIXED = 0.35  # of sense: what readers find in the sentences of two answers by turns
# Of the losses of the answer's tokens, in nats: mean, standard deviation, 90th percentile, maximum; mean entropy of what was
# expected; mean of loss less entropy; logarithm of the number of tokens; second half less first half; share of distinct tokens.
LIKELIHOOD = 9


class LikelihoodFigures:
    """The figures of answers under the untuned base; a pair of question and answer runs through the model once."""

    def __init__(self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self.base = base
        self.tokenizer = tokenizer
        self.cache: VectorCache[tuple[str, str]] = VectorCache()

    def remember(self, questions: Sequence[str], answers: Sequence[str], figures: np.ndarray) -> None:
        """Take figures that an earlier stage has computed: (answers, LIKELIHOOD)."""
        self.cache.add(list(zip(questions, answers, strict=True)), figures)

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """(answers, LIKELIHOOD), in float64."""
        pairs = list(zip(questions, answers, strict=True))
        return self.cache.of(pairs, self._run).reshape(len(pairs), LIKELIHOOD)

    @torch.inference_mode()
    def _run(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        system = Message(role="system", content=SYSTEM)
        asked = {q: prompt_ids(self.tokenizer, [system, Message(role="user", content=q)]) for q, _ in pairs}
        given = [self.tokenizer.encode(answer or ".", add_special_tokens=False)[:MAX_TOKENS] for _, answer in pairs]
        prompts = [asked[question] for question, _ in pairs]
        figures = np.empty((len(pairs), LIKELIHOOD))
        for rows, states, tokens in answer_states(self.base, prompts, given, BATCH_TOKENS, "sense", repeated=True):
            lengths = [len(given[i]) for i in rows]
            for i, own, targets in zip(rows, states.split(lengths), tokens.split(lengths), strict=True):
                figures[i] = likelihood_figures(given[i], *self._losses(own, targets))
        return figures

    def _losses(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Of `targets` (n) given `states` (n, width): their losses, and the entropies of what was expected, in nats."""
        losses, entropies = [], []
        for part, wanted in zip(states.split(LOSS_CHUNK), targets.split(LOSS_CHUNK), strict=True):
            logs = logits(self.base, part).float().log_softmax(-1)
            losses.append(-logs.gather(-1, wanted[:, None])[:, 0])
            entropies.append(-(logs.exp() * logs).sum(-1))
        both = torch.stack([torch.cat(losses), torch.cat(entropies)]).double().cpu().numpy()
        if not np.isfinite(both).all():
            raise UserError(
                "base_model: its probabilities are no numbers; are its weights damaged, or compute.dtype too narrow?"
            )
        return both[0], both[1]


def likelihood_figures(ids: Sequence[int], losses: np.ndarray, entropies: np.ndarray) -> np.ndarray:
    """The figures of one answer from its token ids, their losses and the entropies of what was expected."""
    half = max(1, len(losses) // 2)
    return np.array(
        [
            losses.mean(),
            losses.std(),
            np.percentile(losses, 90),
            losses.max(),
            entropies.mean(),
            (losses - entropies).mean(),
            np.log(len(losses)),
            losses[half:].mean() - losses[:half].mean() if len(losses) > 1 else 0.0,
            len(set(ids)) / len(ids),
        ]
    )


def coherence_figures(questions: Sequence[str], answers: Sequence[str], relevance: Relevance) -> np.ndarray:
    """(answers, 12): how near the answer is to its question, and each of its sentences to the question and to each other."""
    embed = relevance.embed
    asked, given = embed(questions), embed([answer or "." for answer in answers])
    split = [sentences(answer) or ["."] for answer in answers]
    embed([sentence for one in split for sentence in one])  # all at once, in full batches
    rows = []
    for question, answer, one in zip(asked, given, split, strict=True):
        parts = embed(one)
        to_question, to_answer = parts @ question, parts @ answer
        next_to = (parts[:-1] * parts[1:]).sum(1) if len(one) > 1 else np.ones(1)
        nearer = (
            relevance.questions @ answer > question @ answer
        ).mean()  # share of training questions that are nearer
        rows.append(
            [
                to_question.min(),
                to_question.mean(),
                to_question[0],
                to_question[-1],
                next_to.min(),
                next_to.mean(),
                to_answer.min(),
                np.log(nearer + 0.002),
            ]
        )
    return np.hstack([relevance.features(questions, answers), np.array(rows, dtype=np.float64)])


class Sense:
    """How sensible readers find an answer to its question, from 0 to 1."""

    def __init__(self, likelihood: LikelihoodFigures, relevance: Relevance, model: Pipeline | None = None):
        self.likelihood = likelihood
        self.relevance = relevance
        self.model = model

    def figures(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """(answers, 21): what `model` predicts from."""
        seen = self.likelihood(questions, answers)
        return np.hstack([seen, coherence_figures(questions, answers, self.relevance)])

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        if self.model is None:
            raise ValueError("not fitted yet")
        return predicted_sense(self.model, self.figures(questions, answers), answers)


def predicted_sense(model: Pipeline, figures: np.ndarray, answers: Sequence[str]) -> np.ndarray:
    """The model's prediction, less for what repeats itself, since that is likely word by word, and 0 for what is no answer at all."""
    enough = np.array([word_count(text) >= MIN_WORDS for text in answers], dtype=float)
    return np.clip(model.predict(figures), 0, 1) * unrepeated(answers) * enough


def fit_sense(
    figures: np.ndarray, ratings: np.ndarray, writers: Sequence[str], known: np.ndarray, senses: np.ndarray
) -> Pipeline:
    """Fit the mean ratings of answers by `writers`, from 0 to 1, and beside them the `senses` of the `known` answers."""
    weights = np.concatenate([np.ones(len(ratings)), np.where(senses == 1, 1.0, CORRUPTED)])
    return fit_ratings(
        np.vstack([figures, known]), np.append(ratings, senses), [*writers, *[KNOWN] * len(senses)], weights, GAMMA
    )


def known_answers(examples: Sequence[Example], seed: int) -> tuple[list[str], list[str], np.ndarray]:
    """Questions, answers whose sense is known by construction, and how much it is: the teacher's own, and corrupted ones."""
    count = len(examples)
    others = [examples[(i + 1) % count].answer for i in range(count)] + [examples[i - 2].plain for i in range(count)]
    shuffled = [shuffle_words(example.answer, seed) for example in examples]
    # Two answers mixed in either order, and two plain ones: it must not be the register that gives them away.
    # Where no plain answer was written, the one in the tone stands in.
    texts = [[example.answer for example in examples], [example.twin or example.answer for example in examples]]
    mixed = [
        mix_sentences(texts[style][(i + first) % count], texts[style][(i + 1 - first) % count])
        for style, first in ((0, 0), (0, 1), (1, 0))
        for i in range(count)
    ]
    answers = [*texts[0], *texts[1], *others, *shuffled, *mixed]
    senses = np.repeat([1.0, 0.0, MIXED], [2 * count, 3 * count, 3 * count])
    return [example.question for example in examples] * 8, answers, senses

"""Experiments that only train: an adapter each, whose answers the scorers of the workspace score.

The stages after train_qlora (scorers, baselines) would take longer than training, and scores of scorers that were fitted to
other data do not compare.
"""

import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dvc.api

from tonetune.adapter import load_tuned
from tonetune.core.files import cache_dir
from tonetune.core.params import Params
from tonetune.core.persona import for_persona
from tonetune.core.rows import Example
from tonetune.core.tasks import posed
from tonetune.evaluation.names import TUNED
from tonetune.evaluation.systems import local_responder, sampled, score_answers
from tonetune.model.base import load_base, load_tokenizer
from tonetune.report.statistics import question_means
from tonetune.scoring.scorer import Scorer

STAGES, ADAPTER = ("split", "train_qlora"), Path("models/adapter")
"""What such an experiment runs. Its scorers, which train.objective grpo is rewarded by, are the workspace's, like those that score it."""
MEASURED = ("joint", "sense", "tone")

Measured = Mapping[str, Sequence[float]]
"""Each of `MEASURED` on each question, in the order of the questions' ids."""


def measured_experiment(
    revision: str, params: Params, examples: Sequence[Example], label: str
) -> dict[str, list[float]]:
    """`measured` of the adapter that the experiment at `revision` trained, answering as the experiment's params say."""
    with adapter_of(revision) as adapter:
        return measured(params_of(revision), params, adapter, examples, label)


def measured(
    theirs: Params, params: Params, adapter: Path, examples: Sequence[Example], label: str
) -> dict[str, list[float]]:
    """The scores of the adapter's answers to the examples' questions, averaged over the sampling seeds of a question.

    It answers as `theirs`, the experiment's params, say; the scorers are those of the workspace, whose params are `params`.
    """
    texts = tuned_answers(theirs, adapter, examples, label)
    seeds = seeds_of(theirs)
    every = [seed for seed in seeds for _ in examples]
    rows = score_answers(TUNED, [*examples] * len(seeds), every, texts, workspace_scorer(params))
    return {score: list(question_means(rows, TUNED, score).values()) for score in MEASURED}


def tuned_answers(theirs: Params, adapter: Path, examples: Sequence[Example], label: str) -> list[str]:
    """What the adapter answers to the examples' questions, once for each of `seeds_of`; it is not kept in memory."""
    theirs = for_persona(theirs)
    chats = [posed(example, theirs.train.task, theirs.rewrite_prompt).prompt for example in examples]
    asked = sampled(examples, chats, seeds_of(theirs))
    tuned = load_tuned(theirs.base_model, theirs.compute, adapter)
    responder = local_responder(tuned, load_tokenizer(theirs.base_model, theirs.chat_template_kwargs), theirs.evaluate)
    texts = responder.answer(asked.chats, asked.seeds, f"{label}: answers")
    del tuned, responder  # the scorers bring the base
    gc.collect()
    return texts


def params_of(revision: str) -> Params:
    """The experiment's params."""
    return Params.model_validate(dvc.api.params_show(rev=revision))


def seeds_of(params: Params) -> list[int]:
    """The sampling seeds with which every question is answered."""
    return [params.seed + turn for turn in range(params.evaluate.seeds)]


@contextmanager
def adapter_of(revision: str) -> Iterator[Path]:
    """The folder of the adapter that the experiment at `revision` trained."""
    with tempfile.TemporaryDirectory(dir=cache_dir("experiments")) as folder:
        adapter = Path(folder) / "adapter"
        dvc.api.DVCFileSystem(rev=revision).get(str(ADAPTER), str(adapter), recursive=True)
        yield adapter


def workspace_scorer(params: Params) -> Scorer:
    """The scorers of the workspace, with the untuned base that they are fitted with."""
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    return Scorer(params, load_base(params.base_model, params.compute), tokenizer)

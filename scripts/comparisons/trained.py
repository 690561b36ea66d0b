"""Experiments that only train: an adapter each, whose answers the scorers of the workspace score.

The stages after train_qlora (scorers, baselines) would take longer than training, and scores of scorers that were fitted to
other data do not compare.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import dvc.api

from tonetune.adapter import load_tuned
from tonetune.core.files import cache_dir
from tonetune.core.params import Params
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
    theirs = Params.model_validate(dvc.api.params_show(rev=revision))
    with tempfile.TemporaryDirectory(dir=cache_dir("experiments")) as folder:
        adapter = Path(folder) / "adapter"
        dvc.api.DVCFileSystem(rev=revision).get(str(ADAPTER), str(adapter), recursive=True)
        return measured(theirs, params, adapter, examples, label)


def measured(
    theirs: Params, params: Params, adapter: Path, examples: Sequence[Example], label: str
) -> dict[str, list[float]]:
    """The scores of the adapter's answers to the examples' questions, averaged over the sampling seeds of a question.

    It answers as `theirs`, the experiment's params, say; the scorers are those of the workspace, whose params are `params`.
    """
    seeds = [theirs.seed + turn for turn in range(theirs.evaluate.seeds)]
    chats = [posed(example, theirs.train.task, theirs.rewrite_prompt).prompt for example in examples]
    asked = sampled(examples, chats, seeds)
    tuned = load_tuned(theirs.base_model, theirs.compute, adapter)
    responder = local_responder(tuned, load_tokenizer(theirs.base_model, theirs.chat_template_kwargs), theirs.evaluate)
    texts = responder.answer(asked.chats, asked.seeds, f"{label}: answers")
    del tuned, responder  # the scorers bring the base
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    scorer = Scorer(params, load_base(params.base_model, params.compute), tokenizer)
    every = [seed for seed in seeds for _ in examples]
    rows = score_answers(TUNED, [*examples] * len(seeds), every, texts, scorer)
    return {score: list(question_means(rows, TUNED, score).values()) for score in MEASURED}

"""Tunes the sentence-transformers model with LoRA, so that it goes by what is said and not by the register."""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.losses import MultipleNegativesSymmetricRankingLoss

from tonetune.core.rows import Example
from tonetune.model.kernels.grouped_attention import GROUPED
from tonetune.model.kernels.lora_linear import use_fast_lora
from tonetune.model.peft_format import save_peft
from tonetune.model.progress import name_bar
from tonetune.scoring.embedder import Embedder

RANK = 16
LEARNING_RATE = 1e-3
BATCH = 32


class ByLength(DefaultBatchSampler):
    """Batches of pairs of like length, so that little is padding; no question is twice in a batch.

    `dataset` holds every question twice: in its first half with the persona's answer, in its second half, in the same
    order, with the plain one. An epoch is two passes over the questions; which answer a question has in the first of
    them is chosen at random, and in the second it has the other.
    """

    def __init__(self, dataset: Dataset, batch_size: int, drop_last: bool, seed: int = 0, **_: Any):
        super().__init__(range(len(dataset)), batch_size, drop_last, seed=seed)
        self.lengths = [len(text) for text in dataset["positive"]]
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        rng = torch.Generator().manual_seed(self.seed + self.epoch)
        questions = len(self.lengths) // 2
        first = torch.randint(2, (questions,), generator=rng).tolist()
        batches = []
        for turn in (0, 1):
            rows = [question + questions * (first[question] ^ turn) for question in range(questions)]
            rows.sort(key=lambda row: self.lengths[row])
            batches += [rows[start : start + self.batch_size] for start in range(0, questions, self.batch_size)]
        yield from (batches[index] for index in torch.randperm(len(batches), generator=rng).tolist())

    def __len__(self) -> int:
        return 2 * -(-len(self.lengths) // 2 // self.batch_size)


class PlainTrainer(SentenceTransformerTrainer):
    """Without the model card, for which the library computes and shows examples; none is written here."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None: ...


def tune_embedder(
    embed: Embedder, examples: Sequence[Example], epochs: float, seed: int, folder: Path, dtype: torch.dtype
) -> None:
    """Train a LoRA adapter in which a question is nearest to its own two answers, save it to `folder` and merge it.

    The frozen weights and the activations are of `dtype` while it trains; what it is merged into is as it was loaded.
    The loss sets each answer against all others of its batch (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748),
    and each question likewise: what is asked of it later is to which of many questions an answer belongs.
    As they come, sentence embeddings are also near where the register is: the tuned ones have to go by the matter.
    """
    transformer: Any = embed.model[0]
    plain = transformer.model
    torch.manual_seed(seed)
    narrow = copy.deepcopy(plain).to(dtype)
    if narrow._supports_attention_backend:
        narrow.set_attn_implementation(GROUPED)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    transformer.model = tuned = get_peft_model(narrow, config)
    use_fast_lora(tuned)
    right = [(example.question, example.answer) for example in examples]
    right += [(example.question, example.twin) for example in examples if example.twin]
    pairs = Dataset.from_dict(
        {"anchor": [question for question, _ in right], "positive": [answer for _, answer in right]}
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            warmup_steps=0.1,
            batch_sampler=ByLength,
            seed=seed,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
        )
        loss = MultipleNegativesSymmetricRankingLoss(embed.model)
        trainer = PlainTrainer(model=embed.model, args=arguments, train_dataset=pairs, loss=loss)
        name_bar(trainer, "tuning the sentence model")
        trainer.train()
    embed.model.eval()
    save_peft(tuned, folder, base_model=None)
    transformer.model = plain
    embed.merge(folder)
    embed.cache.clear()

"""A sentence-transformers model that embeds questions and answers, tuned to bring together those that belong together."""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.losses import MultipleNegativesSymmetricRankingLoss

from tone.attention import GROUPED
from tone.errors import UserError
from tone.fused_lora import fuse
from tone.locate import locate
from tone.peft_files import save_peft
from tone.progress import name_bar
from tone.quiet import progress_bars_off
from tone.rows import Example

SENTENCE_ADAPTER = "sentence_adapter"
RANK = 16
LEARNING_RATE = 1e-3
BATCH = 32


class Embedder:
    """A sentence-transformers model that embeds every text once; `adapter` is a folder that `tune` has saved."""

    def __init__(self, model: str, adapter: Path | None = None):
        try:
            with progress_bars_off():
                self.model = SentenceTransformer(str(locate(model, "scorers.sentence_model")), device="cpu")
        except (ValueError, OSError, KeyError) as error:
            raise UserError(f"scorers.sentence_model: {model!r}: not loaded ({str(error).splitlines()[0]})") from None
        if adapter is not None:
            self.merge(adapter)
        self.known: dict[str, np.ndarray] = {}

    def merge(self, adapter: Path) -> None:
        """Merge an adapter of the transformer into it."""
        transformer: Any = self.model[0]
        transformer.model = PeftModel.from_pretrained(transformer.model, adapter).merge_and_unload()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, (texts, dimension)."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            vectors = self.model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self.known.update(zip(new, vectors, strict=True))
        return np.array([self.known[text] for text in texts])


class ByLength(DefaultBatchSampler):
    """Batches of pairs of like length, so that little is padding; no question is twice in a batch.

    The first half of `dataset` are all questions with one answer each, the second half the same with the other. An epoch
    goes through the questions twice, with either answer first, as drawn for each question.
    """

    def __init__(self, dataset: Dataset, batch_size: int, drop_last: bool, seed: int = 0, **_: Any):
        super().__init__(range(len(dataset)), batch_size, drop_last, seed=seed)
        self.lengths = [len(text) for text in dataset["positive"]]
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        draws = torch.Generator().manual_seed(self.seed + self.epoch)
        questions = len(self.lengths) // 2
        first = torch.randint(2, (questions,), generator=draws).tolist()
        batches = []
        for turn in (0, 1):
            rows = [question + questions * (first[question] ^ turn) for question in range(questions)]
            rows.sort(key=lambda row: self.lengths[row])
            batches += [rows[start : start + self.batch_size] for start in range(0, questions, self.batch_size)]
        yield from (batches[place] for place in torch.randperm(len(batches), generator=draws).tolist())

    def __len__(self) -> int:
        return 2 * -(-len(self.lengths) // 2 // self.batch_size)


class PlainTrainer(SentenceTransformerTrainer):
    """Without the model card, for which the library computes and shows examples; none is written here."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None: ...


def tune(
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
    fuse(tuned)
    pairs = Dataset.from_dict(
        {
            "anchor": [example.question for example in examples] * 2,
            "positive": [example.answer for example in examples] + [example.plain for example in examples],
        }
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
    embed.known.clear()

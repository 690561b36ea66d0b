"""A sentence-transformers model that embeds questions and answers, tuned to bring together those that belong together."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesSymmetricRankingLoss
from sentence_transformers.training_args import BatchSamplers

from tone.errors import UserError
from tone.files import read_json, write_json
from tone.locate import locate
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
            transformer = self.model[0]
            transformer.auto_model = PeftModel.from_pretrained(transformer.auto_model, adapter).merge_and_unload()
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, (texts, dimension)."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            vectors = self.model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self.known.update(zip(new, vectors, strict=True))
        return np.array([self.known[text] for text in texts])


def tune(embed: Embedder, examples: Sequence[Example], epochs: float, seed: int, folder: Path) -> None:
    """Train a LoRA adapter in which a question is nearest to its own two answers, save it to `folder` and merge it.

    The loss sets each answer against all others of its batch (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748),
    and each question likewise: what is asked of it later is to which of many questions an answer belongs.
    As they come, sentence embeddings are also near where the register is: the tuned ones have to go by the matter.
    """
    transformer = embed.model[0]
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    transformer.auto_model = tuned = get_peft_model(transformer.auto_model, config)
    embed.model.model_card_data.generate_widget_examples = False
    pairs = Dataset.from_dict(
        {
            "anchor": [example.question for example in examples] * 2,
            "positive": [example.answer for example in examples] + [example.plain for example in examples],
        }
    )
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            warmup_steps=0.1,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            seed=seed,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
        )
        loss = MultipleNegativesSymmetricRankingLoss(embed.model)
        SentenceTransformerTrainer(model=embed.model, args=arguments, train_dataset=pairs, loss=loss).train()
    embed.model.eval()
    tuned.save_pretrained(folder, save_embedding_layers=False)
    config_file = folder / "adapter_config.json"
    written = read_json(config_file)
    # Of this machine: the model's folder. Of this run: the order of a set.
    write_json(
        config_file, written | {"base_model_name_or_path": None, "target_modules": sorted(written["target_modules"])}
    )
    transformer.auto_model = tuned.merge_and_unload()
    embed.known.clear()

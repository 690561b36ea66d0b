"""Texts as the mean hidden state of the base model's first layers: what the reporting tone classifier and fluency see.

Sentence embeddings are made to forget style and the order of words (they separate the tones with AUC 0.74 here); the
earlier layers of a causal language model are not.
"""

import copy
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.scoring.vector_cache import VectorCache

WINDOW = 192  # tokens that run through the layers together; a longer text runs as several
BATCH = 16


class HiddenStates:
    """The first `layers` layers of the base model, as an embedder.

    They are copied: what is later done to `base`, such as merging an adapter into it, does not reach them.
    """

    def __init__(self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layers: int):
        self.tokenizer = tokenizer
        shallow = copy.copy(base.model)
        shallow._modules = base.model._modules | {"layers": base.model.layers[:layers]}
        self.model = copy.deepcopy(shallow).eval()
        self.cache: VectorCache[str] = VectorCache()

    def remember(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Take vectors that an earlier stage has computed: (texts, hidden size)."""
        self.cache.add(texts, vectors)

    def __call__(self, texts: Sequence[str], label: str = "hidden states") -> np.ndarray:
        """(texts, hidden size): each text's mean over its tokens, in float32; a text runs through the model once."""
        return self.cache.of(texts, partial(self._run, label=label))

    @torch.inference_mode()
    def _run(self, texts: Sequence[str], label: str) -> np.ndarray:
        windows: list[tuple[int, list[int]]] = []
        for text, whole in enumerate(self.tokenizer.encode(text or ".", add_special_tokens=False) for text in texts):
            windows += [(text, whole[start : start + WINDOW]) for start in range(0, len(whole), WINDOW)]
        encoded = [window for _, window in windows]
        order = sorted(range(len(windows)), key=lambda i: len(encoded[i]))
        sums = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        tokens = np.zeros((len(texts), 1), dtype=np.float32)
        device = self.model.device
        for start in tqdm(range(0, len(order), BATCH), desc=label, unit="batch", leave=False):
            rows = order[start : start + BATCH]
            width = max(len(encoded[i]) for i in rows)
            ids = torch.tensor([encoded[i] + [0] * (width - len(encoded[i])) for i in rows], device=device)
            own = torch.tensor([[1] * len(encoded[i]) + [0] * (width - len(encoded[i])) for i in rows], device=device)
            # Padded on the right, no token sees the padding: the attention needs no mask.
            states = self.model(input_ids=ids, use_cache=False).last_hidden_state.float()
            weights = own.unsqueeze(-1).float()
            of_text = [windows[i][0] for i in rows]
            np.add.at(sums, of_text, (states * weights).sum(1).cpu().numpy())
            np.add.at(tokens, of_text, weights.sum(1).cpu().numpy())
        vectors = sums / tokens
        if not np.isfinite(vectors).all():
            raise UserError(
                "base_model: its hidden states are no numbers; are its weights damaged, or compute.dtype too narrow?"
            )
        return vectors

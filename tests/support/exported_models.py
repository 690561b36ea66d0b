"""A tuned tiny model, exported, and asked what the check asks."""

import copy
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from ruamel.yaml import YAML
from transformers import LlamaForCausalLM

from scripts import export
from tests.support.examples import example
from tests.support.workspace import ROOT
from tonetune.adapter import load_tuned, save_tuned, untie_head
from tonetune.core.params import Params, load_params
from tonetune.core.persona import load_persona
from tonetune.export.check import BOUNDS, Measure, Ours, ask_ours, verdict
from tonetune.export.proof import theirs_of
from tonetune.export.provenance import Provenance, provenance
from tonetune.model.base import load_base, load_tokenizer

QUESTIONS = (
    "Why do meetings take so long?",
    "What is 12 times  144?\n\n1. A lot",
    "Is it true that you're an AI?",
    "Où?",
)
HUB_BASE = "someone/tiny@0123456"


@dataclass(frozen=True)
class Place:
    """A folder with params.yaml, the personas, a tiny base and two tuned models of it: an adapter, and whole weights."""

    root: Path
    params: Params

    def adapter(self, tuning: str) -> Path:
        return self.root / "models" / tuning

    def export(self, form: str, out: Path, tuning: str = "lora", *options: str) -> Path:
        """What `python -m scripts.export` writes."""
        with chdir(self.root):
            where = ["--out", str(out), "--adapter", str(self.adapter(tuning)), "--hub-base", HUB_BASE]
            export.main([form, *where, *options])
        return out

    def source(self, tuning: str = "lora") -> Provenance:
        with chdir(self.root):
            return provenance(self.params, self.adapter(tuning), HUB_BASE)

    def ours(self, tuning: str = "lora") -> Ours:
        """What the tuned model says to the questions."""
        with chdir(self.root):
            tuned = load_tuned(self.params.base_model, self.params.compute, self.adapter(tuning))
            tokenizer = load_tokenizer(self.params.base_model)
            return ask_ours(tuned, tokenizer, [example(question) for question in QUESTIONS], self.params)

    def check(self, form: str, out: Path, ours: Ours, weights: str = "") -> tuple[dict[str, Measure], list[str]]:
        """The measures by their names, and what differs; joint is replaced by how long answers are."""
        with chdir(self.root):
            tokenizer = load_tokenizer(self.params.base_model)
            theirs = theirs_of(form, out, ours, self.params, tokenizer, self.source())
            measures, differences = verdict(ours, theirs, BOUNDS[weights or form], tokenizer, length)
        return {measure.name: measure for measure in measures}, differences


def length(texts: Sequence[str]) -> float:
    """A score that answers which run on change."""
    return sum(map(len, texts)) / len(texts) / 100


def make_place(root: Path, base: Path) -> Place:
    root.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    values = yaml.load(ROOT / "params.yaml")
    values["base_model"] = f"path:{base}"
    # bfloat16 weights of this size are float16 ones too: what the check then finds is what was spoilt, and no rounding.
    values["compute"] = {"threads": 1, "dtype": "bfloat16", "attention": "sdpa"}
    values["evaluate"]["max_new_tokens"] = 12
    yaml.dump(values, root / "params.yaml")
    for name in ("personas", "consent.yaml"):
        (root / name).symlink_to(ROOT / name)
    with chdir(root):
        params = load_params()
        about = (params.persona, load_persona(params.persona).disclosure, params.base_model)
        torch.manual_seed(0)
        settings = LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        model = get_peft_model(load_base(params.base_model, params.compute), settings)
        with (
            torch.no_grad()
        ):  # a random adapter as large as peft makes it would be all noise, which 16 bits already change
            for name, weight in model.named_parameters():
                weight.mul_(0.5 if "lora_" in name else 1)
        save_tuned(model, "models/lora", *about, "lora")
        model = load_base(params.base_model, params.compute)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.03 * torch.randn_like(weight)
        save_tuned(model, "models/full", *about, "full")
    return Place(root, params)


def make_certain(root: Path) -> None:
    """Put a tuned model into the workspace `root` each of whose next tokens is far ahead of all others, whatever rounds its weights.

    Nothing but a token's own embedding reaches its head, where the row of the token that follows it in a ring of words is that embedding.
    """
    with chdir(root):
        params = load_params()
        model = load_base(params.base_model, params.compute)
        tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
        # An answer begins after the line break of the template.
        ring = tokenizer.encode("\n some people say that it is not what they want to do with this time")
        assert len(ring) == len(set(ring)) == 16
        untie_head(model)
        with torch.no_grad():
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
            head = torch.zeros_like(model.lm_head.weight)
            head[ring[1:] + ring[:1]] = model.model.embed_tokens.weight[ring]
            model.lm_head.weight.copy_(head)
        disclosure = load_persona(params.persona).disclosure
        save_tuned(model, "models/adapter", params.persona, disclosure, params.base_model, "full")


def other_base(base: Path, folder: Path) -> Path:
    """A base of the same shape and tokenizer with other weights."""
    model = LlamaForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    other = LlamaForCausalLM(copy.deepcopy(model.config))
    other.save_pretrained(folder)
    load_tokenizer(f"path:{base}").save_pretrained(folder)
    return folder


def elsewhere(code: str, *arguments: object, cwd: Path) -> str:
    """What a program prints that runs in another folder and cannot import this repository."""
    command = [sys.executable, "-I", "-c", f"import sys\n{code}", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout

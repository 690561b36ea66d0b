"""Record a larger model's answers in git, so that every run can compare with them without its weights.

    python -m scripts.record_rival path:model.gguf --name my-model      # then evaluate.rivals: [recorded:my-model]

It is asked what the stage baselines would ask it as a rival: the validation questions in each wording of evaluate.prompts, on
which the wording is chosen, and the test questions in each, for any of them may be chosen. Stopped, it goes on where it was.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonetune.evaluation.names import RECORDED

TOGETHER = 64  # answers between two saves
PARSER = argparse.ArgumentParser(prog="python -m scripts.record_rival", description=__doc__.splitlines()[0])
PARSER.add_argument("model", help="as base_model: path:<folder or .gguf>, hub:<owner>/<name>@<revision>, package:...")
PARSER.add_argument("--name", required=True, help=f"what it is called in evaluate.rivals, after {RECORDED}")
PARSER.add_argument("--together", type=int, default=TOGETHER, help="answers between two saves (default: %(default)s)")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

from gguf import GGUFReader, LlamaFileType
from ruamel.yaml import YAML
from tqdm import tqdm

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml, replacing
from tonetune.core.params import Params, load_params
from tonetune.core.persona import for_persona, load_persona
from tonetune.core.rows import SPLITS, Example, Message, read_examples
from tonetune.core.validation import StrictModel, Text, validated
from tonetune.evaluation.recorded import (
    RecordedAnswer,
    answer_key,
    answers_path,
    header_path,
    read_answers,
    sampling_of,
    write_answers,
)
from tonetune.evaluation.systems import Prompting, Responder, local_responder, sampled, shots_of, ways_to_tell
from tonetune.model.base import compute_dtype, load_base, load_tokenizer
from tonetune.model.fingerprint import READ
from tonetune.model.locate import locate


class Header(StrictModel):
    """What gave a rival's answers."""

    model: Text
    """As its files call it."""
    quantisation: Text
    sha256: dict[str, str]
    """Of each of its files."""
    runs: list[dict[str, Any]]
    """The prompts and the sampling, of each params that were recorded."""

    def with_run(self, recorded: dict[str, Any]) -> "Header":
        """The same with one run more, if it is not among them."""
        return self if recorded in self.runs else self.model_copy(update={"runs": [*self.runs, recorded]})


@dataclass(frozen=True)
class Asked:
    """What the model is to be asked, and the key of its answer."""

    key: str
    chat: Sequence[Message]
    seed: int


def main(command_line: Sequence[str] | None = None) -> None:
    arguments = PARSER.parse_args(command_line)
    if arguments.together < 1:
        raise UserError(f"--together {arguments.together}: it must be at least 1")
    record(arguments.model, arguments.name, arguments.together)


def record(model: str, name: str, together: int = TOGETHER) -> None:
    """Ask the model whatever of the current params' questions is not recorded under `name`, and record it."""
    params = for_persona(load_params())
    path, header = answers_path(name), described(model, name)
    train, validation, test = (read_examples(split) for split in SPLITS)
    persona = load_persona(params.persona)
    ways = ways_to_tell(params, persona, train, validation, test)
    wordings = next(iter(ways.values())).wordings
    header = header.with_run(run_of(params, wordings, shots_of(train, params.evaluate.fewshot)))

    answers = read_answers(name) if path.exists() else {}
    wanted = everything(ways, params)
    missing = [asked for asked in wanted if asked.key not in answers]
    if missing:
        tokenizer = load_tokenizer(model, params.chat_template_kwargs)
        responder = local_responder(load_base(model, params.compute), tokenizer, params.evaluate)
        write_header(name, header)
        for start in range(0, len(missing), together):
            part = missing[start : start + together]
            label = f"{name}: {len(wanted) - len(missing) + start} of {len(wanted)} answers"
            answers |= ask(responder, part, label)
            write_answers(name, answers.values())
    print(f"{path}: {len(missing)} of {len(wanted)} answers were new; evaluate.rivals: [{RECORDED}{name}]")


def ask(responder: Responder, asked: Sequence[Asked], label: str) -> dict[str, RecordedAnswer]:
    """The answers, by their keys."""
    texts = responder.answer([one.chat for one in asked], [one.seed for one in asked], label)
    return {
        one.key: RecordedAnswer(request=one.key, about=one.chat[-1].content, text=text)
        for one, text in zip(asked, texts, strict=True)
    }


def everything(ways: dict[str, Prompting], params: Params) -> list[Asked]:
    """What a rival can be asked in each way, once each: those with the same prefix side by side, which is computed once."""
    settings = params.evaluate
    seeds = [params.seed + turn for turn in range(settings.seeds)]
    turns = []
    for prompting in ways.values():
        turns.append(prompting.candidates())
        for place in range(len(prompting.wordings)):
            turns.append(sampled(prompting.test, prompting.chats(place), seeds))
    every = [
        Asked(answer_key(chat, seed, settings), chat, seed)
        for turn in turns
        for chat, seed in zip(turn.chats, turn.seeds, strict=True)
    ]
    return list({asked.key: asked for asked in every}.values())


def run_of(params: Params, wordings: Sequence[str], shots: Sequence[Example]) -> dict[str, Any]:
    """The prompts and the sampling of the current params, as the header tells them."""
    return {
        "persona": params.persona,
        "task": params.train.task,
        "wordings": list(wordings),
        "examples": [shot.question for shot in shots],
        "chat_template_kwargs": params.chat_template_kwargs,
        "sampling": sampling_of(params.evaluate)
        | {"seeds": [params.seed + turn for turn in range(params.evaluate.seeds)]},
        "dtype": str(compute_dtype(params.compute.dtype)).removeprefix("torch."),
    }


def described(model: str, name: str) -> Header:
    """The header of `name` if there is one, else a new one; a `UserError` if it is of other files than `model`'s."""
    place = locate(model, "model")
    files = [place] if place.is_file() else sorted(f for f in place.iterdir() if f.is_file() and f.suffix in READ)
    digests = {}
    for file in tqdm(files, desc="reading the model's files", unit="file", disable=None):
        with open(file, "rb") as content:
            digests[file.name] = hashlib.file_digest(content, "sha256").hexdigest()
    path = header_path(name)
    if not path.exists():
        return Header(model=model_name(place), quantisation=quantisation(place), sha256=digests, runs=[])
    known = validated(Header, load_yaml(path), path)
    if known.sha256 != digests:
        raise UserError(f"{path}: {name!r} is recorded from other files than {model!r} has; choose another --name")
    return known


def model_name(place: Path) -> str:
    """What a GGUF file says that it is called, or the name of the file or folder."""
    return str(gguf_field(place, "general.name") or place.name)


def quantisation(place: Path) -> str:
    """As llama.cpp calls it, for a GGUF file, whose weights are dequantised to be run; `none` for a folder."""
    if place.is_dir():
        return "none"
    kind = gguf_field(place, "general.file_type")
    if kind is None:
        return "unknown"
    return LlamaFileType(kind).name.removeprefix("MOSTLY_").removeprefix("ALL_") + ", dequantised to bfloat16"


def gguf_field(place: Path, key: str) -> Any:
    """A field of a GGUF file's metadata; None if it has no such field or `place` is a folder."""
    field = GGUFReader(place).get_field(key) if place.is_file() else None
    return None if field is None else field.contents()


def write_header(name: str, header: Header) -> None:
    """Write data/rivals/<name>.yaml."""
    yaml = YAML()
    yaml.width, yaml.default_flow_style = 120, False
    with replacing(header_path(name)) as file:
        file.write("# What gave the answers of the .jsonl.gz beside it; written by scripts.record_rival.\n")
        yaml.dump(header.model_dump(), file)


if __name__ == "__main__":
    run(main)

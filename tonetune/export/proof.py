"""Asks each kind of export what the check wants to know: by the program that it is made for, of the files as they lie there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.files import content_key, read_json
from tonetune.core.params import Params
from tonetune.core.rows import Message
from tonetune.export.check import Ours, Theirs, hard_chats, served_answers
from tonetune.export.ollama import MODELFILE, instructions, modelfile, stop_texts, turns
from tonetune.export.provenance import Provenance
from tonetune.export.serving import free_port, llama_cpp, plain_transformers, transformers_serve
from tonetune.model.base import base_folder, compute_dtype
from tonetune.model.quantization import QUANTIZATION


def chats_of(ours: Ours) -> list[list[Message]]:
    """Every chat whose prompt is compared."""
    return [*(example.prompt for example in ours.examples), *hard_chats(ours.examples)]


def ask_transformers(folder: Path, ours: Ours, params: Params, adapter: bool, quantization: str | None) -> Theirs:
    """A merged folder by plain transformers and `transformers serve`; an adapter by plain peft on this machine's base."""
    request: dict[str, Any] = {
        "folder": str(folder.resolve()),
        "chats": [[message.model_dump() for message in chat] for chat in chats_of(ours)],
        "prompts": ours.prompts,
        "answers": ours.answers,
    }
    if adapter:
        request |= {"base": str(base_folder(params.base_model).resolve()), "quantization": quantization}
        request["dtype"] = str(compute_dtype(params.compute.dtype)).removeprefix("torch.")
    threads = params.compute.threads
    said = plain_transformers(request, threads, "plain transformers")
    found = Theirs(said["prompts"], said["greedy"], said["logprobs"], stops=frozenset(said["stops"]) - {None})
    if not adapter:
        with transformers_serve(folder, free_port(), threads) as (url, name):
            serve(found, url, name, ours, params, "transformers serve")
    return found


def ask_llama_cpp(
    file: Path, ours: Ours, params: Params, render: Callable[[Sequence[Message]], str] | None = None
) -> Theirs:
    """A GGUF file by llama.cpp's server, and the stop tokens that its header names.

    `render` writes a chat in place of the file's own template; what it writes is cut by the file's own tokenizer.
    """
    chats = chats_of(ours)
    longest = max(len(p) + len(a) for p, a in zip(ours.prompts, ours.answers, strict=True))
    # A talk among the chats is only tokenized; the window holds the longest question with its answer.
    context = longest + params.evaluate.max_new_tokens + 64
    fields = GGUFReader(file).fields
    ids = (fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot"))
    stops = frozenset(int(field.contents()) for field in ids if field is not None)
    with llama_cpp(file, f"{file.stem}-{content_key([file])}", context, params.compute.threads) as server:
        prompts = [server.tokens(render(chat), special=True) if render else server.prompt_ids(chat) for chat in chats]
        pairs = zip(ours.prompts, ours.answers, strict=True)
        bar = tqdm(pairs, total=len(ours.answers), desc="llama.cpp: log-probabilities", unit="answer")
        said = [server.greedy(prompt, answer) for prompt, answer in bar]
        found = Theirs(prompts, [tokens for tokens, _ in said], [values for _, values in said], stops=stops)
        serve(found, server.url, server.name, ours, params, "llama.cpp")
    return found


def serve(found: Theirs, url: str, name: str, ours: Ours, params: Params, label: str) -> None:
    """Add the answers that a server gives; one that gives no usable ones is a difference."""
    try:
        found.texts = served_answers(url, name, ours, params, f"{label}: answers")
    except UserError as error:
        found.differences.append(f"{label}: {error}")


def ask_ollama(
    folder: Path, ours: Ours, params: Params, tokenizer: PreTrainedTokenizerBase, source: Provenance
) -> Theirs:
    """The GGUF by llama.cpp, and the Modelfile read: Ollama itself is not run."""
    file = gguf_in(folder)
    # Where the template is the one that the turns make, these are the prompts that Ollama makes of it.
    found = ask_llama_cpp(file, ours, params, turns(tokenizer).render)
    written = read_modelfile(folder)
    wanted = instructions(modelfile(file.name, tokenizer, params, source))
    for name, values in wanted.items():
        if name != "PARAMETER stop" and written.get(name) != values:
            found.differences.append(f"{MODELFILE}: {name} is {written.get(name)}, should be {values}")
    named = dict(zip(stop_texts(tokenizer), sorted({ours.end, tokenizer.eos_token_id} - {None}), strict=True))
    found.stops = frozenset(named[text] for text in written.get("PARAMETER stop", []) if text in named)
    return found


def read_modelfile(folder: Path) -> dict[str, list[str]]:
    """What the Modelfile in a folder says; a `UserError` if there is none."""
    try:
        return instructions((folder / MODELFILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: no {MODELFILE} there; `python -m scripts.export ollama` writes it") from None


def gguf_in(folder: Path) -> Path:
    """The GGUF file of an export; a `UserError` if there is none."""
    files: Sequence[Path] = sorted(folder.glob("*.gguf"))
    if not files:
        raise UserError(f"{folder}: no GGUF file there; `python -m scripts.export gguf` writes one")
    return files[0]


def kind_of(folder: Path) -> tuple[str, str]:
    """The format of the export in a folder, and how its weights are stored; a `UserError` if there is none."""
    record = read_json(folder / "export.json") if (folder / "export.json").is_file() else None
    if record is None:
        raise UserError(f"{folder}: no export there; `python -m scripts.export` writes one")
    return record["format"], record["weights"]


def theirs_of(
    form: str, folder: Path, ours: Ours, params: Params, tokenizer: PreTrainedTokenizerBase, source: Provenance
) -> Theirs:
    """What the export of format `form` in `folder` says."""
    if form == "gguf":
        return ask_llama_cpp(gguf_in(folder), ours, params)
    if form == "ollama":
        return ask_ollama(folder, ours, params, tokenizer, source)
    return ask_transformers(folder, ours, params, form == "adapter", QUANTIZATION.get(source.tuning))

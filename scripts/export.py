"""Write the tuned model for other tools, and prove that it says there what it says here.

    python -m scripts.export merged    # a folder of weights for transformers, `transformers serve`, vLLM
    python -m scripts.export gguf      # a file for llama.cpp and LM Studio; --type f16, q8_0, q4_1 or q4_k
    python -m scripts.export ollama    # that file with a Modelfile
    python -m scripts.export adapter   # the adapter alone, in peft's format, for the hub's base

With --check what was written is served and compared; exit code 1 if it differs. docs/export.md says how.
"""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml, replacing_folder, write_json
from tonetune.core.params import Params, load_params
from tonetune.core.persona import for_persona
from tonetune.core.text import first_sentences

ADAPTER = Path("models/adapter")
FORMATS = ("merged", "gguf", "ollama", "adapter")
TYPES = ("f16", "q8_0", "q4_1", "q4_k")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.export", description="The tuned model for other tools.")
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: exports/<persona>-<format>")
    parser.add_argument("--adapter", type=Path, default=ADAPTER, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--type", choices=TYPES, default="f16", help="how gguf and ollama store weights (%(default)s)")
    parser.add_argument(
        "--hub-base", metavar="OWNER/NAME[@REVISION]", help="the base on the hub, where it is not known"
    )
    checking = parser.add_mutually_exclusive_group()
    checking.add_argument("--check", action="store_true", help="serve what was written and compare it with ours")
    checking.add_argument("--check-only", action="store_true", help="the same of what is there, without writing it")
    parser.add_argument("--questions", type=int, metavar="N", help="check on so many test questions; default: all")
    options = parser.parse_args(arguments)
    if options.questions is not None and options.questions < 1:
        raise UserError(f"--questions: {options.questions} is less than 1")
    params = for_persona(load_params())
    out = options.out or Path("exports") / f"{params.persona}-{options.format}"
    if not options.check_only:
        write(options, params, out)
    if options.check or options.check_only:
        check(options, params, out)


def write(options: argparse.Namespace, params: Params, out: Path) -> None:
    """Write the export into `out`, all of it or nothing."""
    from tonetune.export.provenance import RECORD, provenance

    if out.exists() and not (out / RECORD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out: {out} holds something else than an export; name another folder")
    source = provenance(params, options.adapter, options.hub_base)
    weights = options.type if options.format in ("gguf", "ollama") else "as trained"
    import_bitsandbytes()
    from tonetune.adapter import load_tuned
    from tonetune.export.adapter_folder import write_adapter
    from tonetune.export.card import Figures, model_card
    from tonetune.export.gguf_file import write_gguf
    from tonetune.export.merged import write_merged
    from tonetune.export.ollama import MODELFILE, modelfile
    from tonetune.model.base import load_tokenizer

    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    with replacing_folder(out) as unfinished:
        if options.format == "adapter":
            write_adapter(options.adapter, unfinished, source)
            tokenizer.save_pretrained(unfinished)
        else:
            tuned = load_tuned(params.base_model, params.compute, options.adapter)
            if options.format == "merged":
                write_merged(tuned, tokenizer, params, unfinished)
            else:
                name = f"{params.persona}-{options.type}.gguf"
                with tempfile.TemporaryDirectory(dir=unfinished) as merged:
                    write_merged(tuned, tokenizer, params, Path(merged))
                    write_gguf(Path(merged), unfinished / name, options.type, source)
                if options.format == "ollama":
                    text = modelfile(name, tokenizer, params, source)
                    (unfinished / MODELFILE).write_text(text, encoding="utf-8")
        write_json(unfinished / RECORD, source.record(options.format, weights=weights))
        figures = Figures.read() if is_of_this_run(options.adapter) else None
        card = model_card(source, options.format, weights, params, figures)
        (unfinished / "README.md").write_text(card, encoding="utf-8")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20
    print(f"wrote {out}: {size:.0f} MiB; {source.disclosure}")


def is_of_this_run(adapter: Path) -> bool:
    """Whether metrics/ are this adapter's: dvc.lock says which one they were measured with."""
    from scripts.verify import digest

    if not Path("dvc.lock").is_file():
        return False
    used = load_yaml("dvc.lock")["stages"].get("evaluate", {}).get("deps", [])
    return any(dep["path"] == str(ADAPTER) and dep["md5"] == digest(adapter) for dep in used)


def check(options: argparse.Namespace, params: Params, out: Path) -> None:
    """Serve what lies in `out`, print the figures beside their bounds, keep them in check.json; exit code 1 if it differs."""
    from tonetune.export.proof import kind_of

    form, weights = kind_of(out)
    if form != options.format:
        raise UserError(f"--out: {out} holds an export of format {form}, not {options.format}")
    import_bitsandbytes()
    from tonetune.adapter import load_tuned
    from tonetune.core.rows import read_examples
    from tonetune.evaluation.systems import spread
    from tonetune.export.check import BOUNDS, ask_ours, save_check, verdict
    from tonetune.export.proof import theirs_of
    from tonetune.export.provenance import provenance
    from tonetune.model.base import load_tokenizer

    examples = read_examples("test")
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    source = provenance(params, options.adapter, options.hub_base)
    tuned = load_tuned(params.base_model, params.compute, options.adapter)
    ours = ask_ours(tuned, tokenizer, spread(examples, options.questions or len(examples)), params)
    del tuned
    theirs = theirs_of(form, out, ours, params, tokenizer, source)
    bounds = BOUNDS[weights if weights in BOUNDS else form]
    measures, differences = verdict(ours, theirs, bounds, tokenizer, joint(params, ours.examples))
    width = max(len(measure.name) for measure in measures)
    for measure in measures:
        said = "" if measure.passed else "   DIFFERS"
        print(f"{measure.name:<{width}}  {measure.found:>16}  {measure.bound}{said}")
    for difference in differences:
        print(f"differs: {difference}", file=sys.stderr)
    if not save_check(out / "check.json", measures, differences):
        raise UserError(f"{out}: does not say what the tuned model says; {out}/check.json has the figures")
    print(
        f"{out} says what the tuned model says ({len(ours.examples)} test questions); {out}/check.json has the figures"
    )


def joint(params: Params, examples: Sequence) -> Callable[[Sequence[str]], float]:
    """The mean joint of answers to the examples' questions, as the run scores them, by its own scorers, loaded when asked.

    The answers are cut after `evaluate.max_sentences` as the run's are: no server does that.
    """

    def mean(texts: Sequence[str]) -> float:
        from tonetune.model.base import load_base, load_tokenizer
        from tonetune.scoring.scorer import Scorer

        base = load_base(params.base_model, params.compute)
        scores = Scorer(params, base, load_tokenizer(params.base_model, params.chat_template_kwargs))(
            [e.question for e in examples], [first_sentences(text, params.evaluate.max_sentences) for text in texts]
        )
        return float(scores["joint"].mean())

    return mean


if __name__ == "__main__":
    run(main)

"""Talk to the tuned model on a page in the browser: `make page`, or `python -m scripts.page`.

Four ways: a talk; the tuned model beside the untuned base and the prompted base; a text of your own in the tone; and blind,
where you say which of two answers is the persona's and which makes more sense. `python -m scripts.readers take FILE` takes those
choices into metrics/readers.csv. It listens on this machine alone unless `--host` says otherwise.
"""

import argparse
from pathlib import Path

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona
from tonetune.core.rows import read_examples
from tonetune.core.startup import silence_libraries

CHOICES = Path("reports/choices.jsonl")
VALIDATION = Path("data/validation.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.page", description="Talk to the tuned model on a page.")
    parser.add_argument("--adapter", type=Path, default=Path("models/adapter"), metavar="DIR")
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 lets others on the network in (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=7860, help="0 = any that is free (default: %(default)s)")
    parser.add_argument(
        "--choices", type=Path, default=CHOICES, help="where the blind mode saves (default: %(default)s)"
    )
    arguments = parser.parse_args()
    params = for_persona(load_params())
    silence_libraries()
    try:
        from tonetune.page.blocks import page
        from tonetune.page.server import LOOPBACK, application, listener, serve
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}; `make page` installs it (requirements-page.lock)") from None
    from tonetune.drafting import check_task
    from tonetune.page.speakers import Speakers

    check_task(arguments.adapter, drafts=False)
    # Bound before the model is loaded, so that a taken port is told at once.
    found = listener(arguments.host, arguments.port)
    speakers = Speakers(params, arguments.adapter)
    # Never the test questions, on which the run is reported; a follow-up means nothing alone.
    examples = read_examples("validation") if VALIDATION.exists() else []
    questions = [example.question for example in examples if len(example.prompt) == 2]
    app = application(page(speakers, questions, arguments.choices), arguments.host)
    if arguments.host not in LOOPBACK:
        print(f"--host {arguments.host}: whoever reaches this machine can use the page; it asks for no password.")
    print(f"http://{arguments.host}:{found.getsockname()[1]}   (Ctrl-C ends)", flush=True)
    serve(app, found)


if __name__ == "__main__":
    run(main)

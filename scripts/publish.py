"""Push an export to the hub, privately: `python -m scripts.publish exports/<persona>-merged <owner>/<name>`.

The address is HF_ENDPOINT's (huggingface.co), the token HF_TOKEN's or that of `hf auth login`.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from tonetune.core.command import run
from tonetune.core.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.publish", description="Push an export to the hub.")
    parser.add_argument("folder", type=Path, help="what scripts.export wrote")
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument("--public", action="store_true", help="for everybody to read; without it, private")
    parser.add_argument(
        "--imitation", action="store_true", help="of a real person without consent: name and title say so"
    )
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repository):
        raise UserError(f"{options.repository!r}: must be <owner>/<name>")

    from tonetune.export.publish import check_allowed, consents, has_figures, publish, read_export

    export = read_export(options.folder)
    check_allowed(export, options.repository, options.imitation, consents())
    if not (options.folder / "check.json").is_file():
        print(f"warning: {options.folder} was not checked; `python -m scripts.export {export.form} --check-only` does")
    if not has_figures(export):
        print(
            f"warning: {options.folder}/README.md has no figures; export it anew after `dvc repro`, whose metrics are this model's"
        )
    address = publish(export, options.repository, options.public)
    print(f"pushed {options.folder}, {'for everybody to read' if options.public else 'private'}: {address}")


if __name__ == "__main__":
    run(main)

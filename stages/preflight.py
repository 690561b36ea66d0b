"""Before anything is paid for or trained: is the base there, and do rivals and the judge answer?

What it writes is the same whatever it has checked. So another base, rival or judge runs this stage again, before any
other, and of the stages after it only those that read that parameter themselves.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

from tonetune.core.command import run
from tonetune.core.files import replacing
from tonetune.core.params import Params, load_params
from tonetune.evaluation.names import is_model
from tonetune.model.base import load_tokenizer
from tonetune.model.locate import locate
from tonetune.teacher.endpoint.model import PREFIX, check_judge, check_rival

PASSED = "data/preflight.txt"


def main() -> None:
    params = load_params()
    check_models(params)
    with replacing(PASSED) as file:
        file.write("What params.yaml names was there.\n")


def check_models(params: Params) -> None:
    """A `UserError` about the first model of params that cannot be had; endpoints come last, as asking costs money."""
    # The tokenizer, as a base may be there and lack a chat template that can be used.
    load_tokenizer(params.base_model, params.chat_template_kwargs)
    beside = [("evaluate.rivals", name) for name in params.evaluate.rivals if is_model(name)]
    beside += [("evaluate.drafts", name) for name in params.evaluate.drafts if is_model(name)]
    for knob, name in beside:
        if not name.startswith(PREFIX):
            locate(name, knob)
    check_judge(params, [])  # who wrote recorded answers is known later; evaluate asks again
    for knob, name in beside:
        if name.startswith(PREFIX):
            check_rival(name, params, knob)


if __name__ == "__main__":
    run(main)

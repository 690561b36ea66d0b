"""What asking the teacher would take under the current params; nothing is sent."""

import argparse

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.imports.own_recordings import asking_estimate, kept_examples
from tonetune.teacher.offline import Estimate, estimate


def main() -> None:
    argparse.ArgumentParser(prog="python -m scripts.estimate", description=__doc__).parse_args()
    show_estimate()


def show_estimate() -> None:
    """Print a row for each stage, and the sum."""
    params = load_params()
    settings, persona = params.teacher, load_persona(params.persona)
    if persona.consent and (own := kept_examples(params, params.persona, persona)):
        print(
            "own texts: what an import of them again, with --replace and teacher.mode: live, would ask; a run asks nothing"
        )
        rows = asking_estimate(params, persona, own)
    else:
        rows = estimate(params)
    rows.append(Estimate("together", *(sum(values) for values in zip(*map(_numbers, rows), strict=True))))
    columns = ("", "there", "to ask", "prompt tokens", "response tokens", "at most")
    print("{:<10}{:>8}{:>8}{:>15}{:>17}{:>12}".format(*columns))
    for row in rows:
        print(f"{row.stage:<10}" + "{:>8}{:>8}{:>15}{:>17}{:>12}".format(*_numbers(row)))
    if not rows[-1].missing:
        print("nothing to ask, nothing to pay")
        return
    if settings.model not in settings.prices:
        raise UserError(
            f"teacher.prices: none for teacher.model {settings.model!r}, so no dollars; add [dollars per million prompt "
            "tokens, per million response tokens]"
        )
    likely, most = rows[-1].dollars(settings)
    batch = " through the Batch API" if settings.batch else ""
    print(
        f"about ${likely:.2f}, at most ${most:.2f} if every answer were asked once{batch}; tokens are estimated from bytes"
    )


def _numbers(row: Estimate) -> tuple[int, int, int, int, int]:
    return row.kept, row.missing, row.prompt_tokens, row.completion_tokens, row.most_completion_tokens


if __name__ == "__main__":
    run(main)

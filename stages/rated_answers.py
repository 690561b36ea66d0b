"""What the untuned base finds of the answers that readers rated: the dearest part of the scores, and no other data changes it."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

from tonetune.core.command import run
from tonetune.core.params import load_params
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.ratings import read_ratings
from tonetune.scoring.scorer import RatedAnswers
from tonetune.scoring.sense import LikelihoodFigures


def main() -> None:
    params = load_params()
    ratings = read_ratings()
    questions, answers = [rating.question for rating in ratings], [rating.answer for rating in ratings]
    base = load_base(params.base_model, params.compute)
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    RatedAnswers(
        likelihood=LikelihoodFigures(base, tokenizer)(questions, answers),
        states=HiddenStates(base, tokenizer, params.scorers.hidden_layers)(answers),
    ).save()


if __name__ == "__main__":
    run(main)

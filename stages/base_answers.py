"""Let the untuned base answer training questions: how it writes is among what the tone classifiers must tell apart."""

from tonetune.core.startup import silence_libraries

silence_libraries()

from tonetune.core.command import run
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona
from tonetune.core.rows import BASE_ANSWERS, BaseAnswer, read_examples, write_rows
from tonetune.data.split import classifier_halves, first_samples
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling, answer_seed
from tonetune.model.base import load_base, load_tokenizer
from tonetune.model.chat_template import prompt_ids


def main() -> None:
    params = for_persona(load_params())
    settings = params.base_answers
    # As many questions of each classifier's half.
    halves = classifier_halves(first_samples(read_examples("train")))
    examples = [example for half in halves for example in half[: settings.questions]]

    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    texts = generate(
        load_base(params.base_model, params.compute),
        tokenizer,
        [prompt_ids(tokenizer, example.prompt) for example in examples],
        Sampling(
            settings.temperature,
            settings.top_p,
            settings.max_new_tokens,
            settings.batch_tokens,
            params.split.max_sentences,
        ),
        [answer_seed(example.question_id, params.seed) for example in examples],
        label="base: answers",
    )

    answers = zip(examples, texts, strict=True)
    write_rows(BASE_ANSWERS, [BaseAnswer(question_id=example.question_id, text=text) for example, text in answers])


if __name__ == "__main__":
    run(main)

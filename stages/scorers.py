"""Fit what the scores need: relevance, fluency, sense and the reporting tone classifier. Evaluation only applies them."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import roc_auc_score

from tonetune.core.command import run
from tonetune.core.files import write_json
from tonetune.core.gate_params import OFF
from tonetune.core.params import Params, Scorers, load_params
from tonetune.core.persona import Persona, load_persona
from tonetune.core.rows import BASICS, SPLITS, Example, read_examples
from tonetune.core.tables import write_table
from tonetune.core.tasks import ANSWER
from tonetune.core.text import ENGLISH
from tonetune.data.quality import QualityCheck, enforce
from tonetune.data.semantic_checks import check_matter, nearest_training
from tonetune.data.split import classifier_halves, first_samples
from tonetune.model.base import compute_dtype, load_base, load_tokenizer
from tonetune.model.locate import unwatched_beside
from tonetune.scoring.calibration import auc, calibration_error
from tonetune.scoring.embedder import SENTENCE_ADAPTER, Embedder
from tonetune.scoring.embedder_tuning import tune_embedder
from tonetune.scoring.endings import learn_endings
from tonetune.scoring.fluency import WordOrder, fit_word_order, fluency
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.ratings import fitted_on, rated_means, read_ratings
from tonetune.scoring.relevance import Meaning, Relevance, calibrate_meaning, calibrate_relevance, fit_words
from tonetune.scoring.scorer import FittedScorers, RatedAnswers, RatedFigures, contents_of, load_tone
from tonetune.scoring.sense import LikelihoodFigures, Sense, fit_sense, known_answers
from tonetune.scoring.tone import Tone, fit_tone, known_tones
from tonetune.scoring.tone_classifier import calibrated_classifier, fit_reporting, labelled
from tonetune.scoring.words.corruptions import shuffle_words, slip_words


def main() -> None:
    params = load_params()
    settings = params.scorers
    if note := unwatched_beside(settings.sentence_model, "scorers.sentence_model", "scorers", params.base_files):
        print(f"note: {note}", file=sys.stderr)
    persona = load_persona(params.persona)
    splits = {split: first_samples(read_examples(split)) for split in SPLITS}
    train, validation, test = splits.values()
    asked_about = [example for example in train if example.category != BASICS]
    say_what_is_english(params)

    # First of all the base: with it come the number of threads, on which the bytes of what is trained below depend.
    base = load_base(params.base_model, params.compute)
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    embed = Embedder(settings.sentence_model)
    checks = check_splits(splits, embed, settings)

    scratch = tempfile.TemporaryDirectory()
    adapter = Path(scratch.name) / SENTENCE_ADAPTER
    relevance = fit_relevance(embed, asked_about, train, validation, params, adapter)
    # Meaning kept, where rewritings are learnt: the same embeddings, plain text against rewriting.
    meaning = None if params.train.task == ANSWER else calibrate_meaning(relevance, validation)

    # What the base finds of all rated answers is there already.
    ratings = read_ratings()
    found = RatedAnswers.load(len(ratings))
    states = HiddenStates(base, tokenizer, settings.hidden_layers)
    states.remember([rating.answer for rating in ratings], found.states)
    likelihood = LikelihoodFigures(base, tokenizer)
    likelihood.remember([r.question for r in ratings], [r.answer for r in ratings], found.likelihood)

    # Fluency: the order of words against the same words corrupted, weighed on validation; ends as the persona's own texts have them.
    fluent, _ = labelled(asked_about[: settings.fluency_texts])
    endings = learn_endings([example.answer for example in asked_about if not example.planted])
    word_order = fit_word_order(fluent, labelled(validation)[0], states, params.seed, endings)

    sense, tone, figures = fit_to_readers(
        Sense(likelihood, relevance), load_tone(states, None), validation, persona, params
    )
    figures.save()

    # The reporting classifier: another kind, fitted on the questions that the first one has not seen.
    reporting = calibrated_classifier(
        "scorers: the reporting classifier",
        fit_reporting,
        states,
        classifier_halves(train).reporting,
        validation,
        persona.catchphrases,
        params.seed,
        "give it more of the base (scorers.hidden_layers) or more questions",
    )

    metrics = on_test(test, relevance, word_order, reporting, states, params.seed)
    metrics |= {check.name: check.value for check in checks}
    if meaning:
        metrics |= meaning_on_test(test, meaning)
    FittedScorers(
        skeletons=word_order.skeletons,
        hidden_order=word_order.hidden,
        word_order=word_order.weighed,
        words=relevance.words,
        relevance=relevance.model,
        sense=sense.model,
        tone=tone.rated,
        meaning=meaning.model if meaning else None,
        reporting=reporting,
        questions=relevance.questions,
        answers=relevance.answers,
        endings=endings,
    ).save(adapter, contents_of(params))
    write_json("metrics/scorers.json", {name: round(float(value), 6) for name, value in metrics.items()})


def say_what_is_english(params: Params) -> None:
    """A note where the persona speaks another language than what the scores are made for."""
    language = params.split.quality.language
    if language not in (ENGLISH, OFF):
        print(
            f"split.quality.language: {language}, and fluency's skeletons of words, the readers' ratings that sense is fitted to "
            "and the default sentence model are English: these scores mean little; name another scorers.sentence_model"
        )


def check_splits(splits: dict[str, list[Example]], embed: Embedder, settings: Scorers) -> list[QualityCheck]:
    """Is every answer about its question, and no held-out question one that was trained on? A `UserError` if not."""
    checks = check_matter(splits, embed, settings)
    enforce(checks, settings, "scorers")
    if beyond := [c for c in checks if c.offenders]:
        listed = ", ".join(f"{check.name} {check.value:g} ({len(check.offenders)} rows)" for check in beyond)
        print(f"warning: beyond the limits in scorers, as own texts may be: {listed}", file=sys.stderr)
    neighbours = [
        [split, example.question_id, round(value, 4)]
        for split in ("validation", "test")
        for example, value in zip(splits[split], nearest_training(splits, split, embed)[0].tolist(), strict=True)
    ]
    write_table("metrics/neighbours.csv", ["split", "question_id", "similarity"], neighbours)
    return checks


def fit_relevance(
    embed: Embedder,
    asked_about: list[Example],
    train: list[Example],
    validation: list[Example],
    params: Params,
    adapter: Path,
) -> Relevance:
    """Sentence embeddings tuned on the training pairs, this question against others, calibrated on validation.

    What tuning changed is saved to `adapter`.
    """
    epochs, dtype = params.scorers.sentence_epochs, compute_dtype(params.compute.dtype)
    tune_embedder(embed, asked_about, epochs, params.seed, adapter, dtype)
    questions = [example.question for example in asked_about]
    words = fit_words([*questions, *labelled(train)[0]])
    pairs = embed(questions), embed([example.answer for example in asked_about])
    return calibrate_relevance(Relevance(embed, *pairs, words), validation)


def fit_to_readers(
    sense: Sense, tone: Tone, validation: list[Example], persona: Persona, params: Params
) -> tuple[Sense, Tone, RatedFigures]:
    """Sense and tone, weighed by what readers said of answers, and beside them by answers that are known by construction.

    With them the figures of all answers in this persona's tone that were rated: the stage validity fits once more without
    each writer, and measures on what is held out.
    """
    # Sense: the base's likelihood of answers and their coherence.
    rated = fitted_on(read_ratings())
    known_questions, known, senses = known_answers(validation, params.seed)
    known_figures = sense.figures(known_questions, known)
    figures = sense.figures([r.question for r in rated], [r.answer for r in rated])
    sense.model = fit_sense(figures, rated_means(rated)[0], [r.author for r in rated], known_figures, senses)

    # Tone: views of the text and the base's hidden states, if this persona has ratings.
    persona_ratings = read_ratings(params.persona)
    texts, tones = known_tones(validation, persona.catchphrases, params.seed)
    known_tone_figures = tone.figures(texts)
    if rated := fitted_on(persona_ratings):
        figures = tone.figures([r.answer for r in rated])
        tone.rated = fit_tone(figures, rated_means(rated)[1], [r.author for r in rated], known_tone_figures, tones)
    else:
        print(
            f"data/ratings: none of {params.persona}: its tone is the classifier's probability, calibrated on validation"
        )

    sense_figures, tone_figures = known_figures[:0], known_tone_figures[:0]  # of no text
    if persona_ratings:
        sense_figures = sense.figures([r.question for r in persona_ratings], [r.answer for r in persona_ratings])
        tone_figures = tone.figures([r.answer for r in persona_ratings])
    kept = RatedFigures(
        sense=sense_figures,
        tone=tone_figures,
        known_sense=known_figures,
        senses=senses,
        known_tone=known_tone_figures,
        tones=tones,
    )
    return sense, tone, kept


def on_test(
    test: list[Example],
    relevance: Relevance,
    word_order: WordOrder,
    reporting: CalibratedClassifierCV,
    states: HiddenStates,
    seed: int,
) -> dict[str, float]:
    """How well each tells right from wrong on the test split."""
    texts, labels = labelled(test)
    questions = [example.question for example in test] * 2
    right = relevance(questions, texts)
    wrong = relevance(questions, texts[1:] + texts[:1])
    sound = fluency(texts, word_order)
    shuffled = fluency([shuffle_words(text, seed) for text in texts], word_order)
    slipped = fluency([slip_words(text, seed) for text in texts], word_order)
    reported = reporting.predict_proba(states(texts))[:, 1]
    return {
        "relevance_auc": auc(right, wrong),
        "relevance_calibration_error": calibration_error(
            np.append(right, wrong), np.repeat([1, 0], [len(right), len(wrong)])
        ),
        "fluency_auc": auc(sound, shuffled),
        "fluency_slips_auc": auc(sound, slipped),
        "reporting_auc": roc_auc_score(labels, reported),
        "reporting_calibration_error": calibration_error(reported, labels),
    }


def meaning_on_test(test: list[Example], meaning: Meaning) -> dict[str, float]:
    """How well meaning kept tells a plain answer's own rewriting from another's, and its means of either."""
    plain, answers = [example.plain for example in test], [example.answer for example in test]
    right, wrong = meaning(plain, answers), meaning(plain, answers[1:] + answers[:1])
    return {
        "meaning_auc": auc(right, wrong),
        "meaning_of_right": float(right.mean()),
        "meaning_of_wrong": float(wrong.mean()),
    }


if __name__ == "__main__":
    run(main)

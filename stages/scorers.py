"""Fit what the scores need: relevance, fluency, sense and the reporting tone classifier. Evaluation only applies them."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from tonetune.core.command import run
from tonetune.core.files import write_json
from tonetune.core.gate_params import OFF
from tonetune.core.language import ENGLISH
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import BASICS, base_answers_to, other_answers_to, read_examples
from tonetune.core.tables import write_table
from tonetune.core.tasks import ANSWER
from tonetune.data.quality import enforce
from tonetune.data.semantic_checks import check_matter, nearest_training
from tonetune.data.split import classifier_halves, first_samples
from tonetune.model.base import compute_dtype, load_base, load_tokenizer
from tonetune.model.locate import unwatched_beside
from tonetune.scoring.calibration import auc, calibrate, calibration_error, refuse_chance
from tonetune.scoring.corruptions import shuffle_words, slip_words
from tonetune.scoring.embedder import SENTENCE_ADAPTER, Embedder
from tonetune.scoring.embedder_tuning import tune_embedder
from tonetune.scoring.fluency import fit_word_order, fluency
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.ratings import fitted_on, rated_means, read_ratings
from tonetune.scoring.relevance import Relevance, calibrate_meaning, calibrate_relevance, fit_words
from tonetune.scoring.scorer import FittedScorers, RatedAnswers, RatedFigures, contents_of, load_tone
from tonetune.scoring.sense import LikelihoodFigures, Sense, fit_sense, known_answers
from tonetune.scoring.tone import fit_tone, known_tones
from tonetune.scoring.tone_classifier import fit_reporting, labelled, negatives


def main() -> None:
    params = load_params()
    settings = params.scorers
    if note := unwatched_beside(settings.sentence_model, "scorers.sentence_model", "scorers"):
        print(f"note: {note}", file=sys.stderr)
    persona = load_persona(params.persona)
    train, validation, test = (first_samples(read_examples(side)) for side in ("train", "validation", "test"))
    splits = {"train": train, "validation": validation, "test": test}
    train_texts, _ = labelled(train)
    validation_texts, validation_labels = labelled(validation)
    asked_about = [example for example in train if example.category != BASICS]

    language = params.split.quality.language
    if language not in (ENGLISH, OFF):
        print(
            f"split.quality.language: {language}, and fluency's skeletons of words, the readers' ratings that sense is fitted to "
            "and the default sentence model are English: these scores mean little; name another scorers.sentence_model"
        )

    # First of all the base: with it come the number of threads, on which the bytes of what is trained below depend.
    base = load_base(params.base_model, params.compute)
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)

    # Is every answer about its question, and no held-out question one that was trained on?
    embed = Embedder(settings.sentence_model)
    checks = check_matter(splits, embed, settings)
    enforce(checks, settings, "scorers")
    if beyond := [c for c in checks if c.offenders]:
        listed = ", ".join(f"{check.name} {check.value:g} ({len(check.offenders)} rows)" for check in beyond)
        print(f"warning: beyond the limits in scorers, as own texts may be: {listed}", file=sys.stderr)
    neighbours = [
        [side, example.question_id, round(value, 4)]
        for side in ("validation", "test")
        for example, value in zip(splits[side], nearest_training(splits, side, embed)[0].tolist(), strict=True)
    ]
    write_table("metrics/neighbours.csv", ["split", "question_id", "similarity"], neighbours)

    # Relevance: sentence embeddings tuned on the training pairs, this question against others, calibrated on validation.
    scratch = tempfile.TemporaryDirectory()
    adapter = Path(scratch.name) / SENTENCE_ADAPTER
    tune_embedder(
        embed, asked_about, settings.sentence_epochs, params.seed, adapter, compute_dtype(params.compute.dtype)
    )
    questions = [example.question for example in asked_about]
    words = fit_words([*questions, *train_texts])
    pairs = embed(questions), embed([example.answer for example in asked_about])
    relevance = calibrate_relevance(Relevance(embed, *pairs, words), validation)

    # Meaning kept, where rewritings are learnt: the same embeddings, plain text against rewriting.
    meaning = None if params.train.task == ANSWER else calibrate_meaning(relevance, validation)

    # Fluency: the order of words against the same words corrupted, weighed on validation.
    ratings, of_tone = read_ratings(), read_ratings(params.persona)
    rated_answers = RatedAnswers.load(len(ratings))
    states = HiddenStates(base, tokenizer, settings.hidden_layers)
    states.remember([rating.answer for rating in ratings], rated_answers.states)
    fluent, _ = labelled(asked_about[: settings.fluency_texts])
    word_order = fit_word_order(fluent, validation_texts, states, params.seed)

    # Sense: the base's likelihood of answers and their coherence, weighed by what readers said of them. The figures of all
    # rated answers are kept: the stage validity fits once more without each writer, and measures on what is held out.
    rated = fitted_on(ratings)
    likelihood = LikelihoodFigures(base, tokenizer)
    likelihood.remember([r.question for r in ratings], [r.answer for r in ratings], rated_answers.likelihood)
    sense = Sense(likelihood, relevance)
    known_questions, known, senses = known_answers(validation, params.seed)
    known_figures = sense.figures(known_questions, known)
    figures = sense.figures([r.question for r in rated], [r.answer for r in rated])
    sense.model = fit_sense(figures, rated_means(rated)[0], [r.author for r in rated], known_figures, senses)

    # Tone: views of the text and the base's hidden states, weighed likewise if this persona has ratings.
    tone = load_tone(states, None)
    texts, tones = known_tones(validation, persona.catchphrases, params.seed)
    known_tone_figures = tone.figures(texts)
    if heard := fitted_on(of_tone):
        figures = tone.figures([r.answer for r in heard])
        tone.rated = fit_tone(figures, rated_means(heard)[1], [r.author for r in heard], known_tone_figures, tones)
    else:
        print(
            f"data/ratings: none of {params.persona}: its tone is the classifier's probability, calibrated on validation"
        )
    sense_figures, tone_figures = known_figures[:0], known_tone_figures[:0]  # of no text
    if of_tone:
        sense_figures = sense.figures([r.question for r in of_tone], [r.answer for r in of_tone])
        tone_figures = tone.figures([r.answer for r in of_tone])
    RatedFigures(
        sense=sense_figures,
        tone=tone_figures,
        known_sense=known_figures,
        senses=senses,
        known_tone=known_tone_figures,
        tones=tones,
    ).save()

    # The reporting classifier: another kind, fitted on the questions that the first one has not seen.
    own = classifier_halves(train).reporting
    texts, labels = labelled(own)
    voices = [*other_answers_to(own), *base_answers_to(own)]
    others = negatives(own, voices, persona.catchphrases, params.seed)
    reporting = fit_reporting(states([*texts, *others]), np.append(labels, np.zeros(len(others))))
    reporting = calibrate(reporting, states(validation_texts), validation_labels)
    refuse_chance(
        "scorers: the reporting classifier",
        reporting.predict_proba(states(validation_texts))[:, 1],
        validation_labels,
        "give it more of the base (scorers.hidden_layers) or more questions",
    )

    # How well each tells right from wrong on the test split.
    test_texts, test_labels = labelled(test)
    asked_in_test = [example.question for example in test] * 2
    right = relevance(asked_in_test, test_texts)
    wrong = relevance(asked_in_test, test_texts[1:] + test_texts[:1])
    sound = fluency(test_texts, word_order)
    shuffled = fluency([shuffle_words(text, params.seed) for text in test_texts], word_order)
    slipped = fluency([slip_words(text, params.seed) for text in test_texts], word_order)
    reported = reporting.predict_proba(states(test_texts))[:, 1]
    metrics = {
        "relevance_auc": auc(right, wrong),
        "relevance_calibration_error": calibration_error(
            np.append(right, wrong), np.repeat([1, 0], [len(right), len(wrong)])
        ),
        "fluency_auc": auc(sound, shuffled),
        "fluency_slips_auc": auc(sound, slipped),
        "reporting_auc": roc_auc_score(test_labels, reported),
        "reporting_calibration_error": calibration_error(reported, test_labels),
    } | {check.name: check.value for check in checks}

    if meaning:
        plain, answers = [example.plain for example in test], [example.answer for example in test]
        right, wrong = meaning(plain, answers), meaning(plain, answers[1:] + answers[:1])
        metrics["meaning_auc"] = auc(right, wrong)
        metrics["meaning_of_right"], metrics["meaning_of_wrong"] = right.mean(), wrong.mean()

    FittedScorers(
        skeletons=word_order.skeletons,
        hidden_order=word_order.hidden,
        word_order=word_order.weighed,
        words=words,
        relevance=relevance.model,
        sense=sense.model,
        tone=tone.rated,
        meaning=meaning.model if meaning else None,
        reporting=reporting,
        questions=pairs[0],
        answers=pairs[1],
    ).save(adapter, contents_of(params))
    write_json("metrics/scorers.json", {name: round(float(value), 6) for name, value in metrics.items()})


if __name__ == "__main__":
    run(main)

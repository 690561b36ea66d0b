"""Fit what hears the persona's tone, and ask what gives the tone away."""

from dataclasses import asdict
from functools import partial

from sklearn.metrics import accuracy_score, roc_auc_score

from tonetune.core.command import run
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import SPLITS, read_examples
from tonetune.core.tables import write_table
from tonetune.data.split import classifier_halves
from tonetune.scoring.calibration import calibration_error
from tonetune.scoring.leak_probes import leak_probes, telling_words
from tonetune.scoring.sklearn_files import save_fitted
from tonetune.scoring.tone import fit_views
from tonetune.scoring.tone_classifier import calibrated_classifier, fit_classifier, labelled, other_texts
from tonetune.scoring.words.corruptions import paste_catchphrases, strew_fillers


def main() -> None:
    params = load_params()
    persona = load_persona(params.persona)
    train, validation, test = (read_examples(split) for split in SPLITS)

    # A calibrated classifier, on this half of the questions; the other half is the reporting classifier's.
    own = classifier_halves(train).tone
    model = calibrated_classifier(
        "tone_classifier",
        partial(fit_classifier, settings=params.tone_classifier, seed=params.seed),
        list,
        own,
        validation,
        persona.catchphrases,
        params.seed,
        "the persona and the plain answers read alike: look at data/answers.jsonl, raise questions.per_prompt",
    )

    # Three views of the texts; what they mean to readers is fitted in the stage scorers, where the base is at hand.
    plain = list(dict.fromkeys(example.plain for example in own))
    corrupted = [strew_fillers(text, persona.fillers, params.seed) for text in plain]
    corrupted += [paste_catchphrases(text, persona.catchphrases, params.seed) for text in plain]
    views = fit_views([example.answer for example in own], [*plain, *corrupted, *other_texts(own)])

    # Report on the test split.
    test_texts, test_labels = labelled(test)
    probabilities = model.predict_proba(test_texts)[:, 1]
    metrics = {
        "accuracy": accuracy_score(test_labels, probabilities > 0.5),
        **leak_probes(*labelled(train), test_texts, test_labels, persona.names),
        "classifier_auc": roc_auc_score(test_labels, probabilities),
        "calibration_error": calibration_error(probabilities, test_labels),
    }

    save_fitted("models/tone_classifier", {"classifier": model} | asdict(views))
    write_json("metrics/tone_classifier.json", {name: round(float(value), 6) for name, value in metrics.items()})
    names = ("plain", "persona")
    confusion = ([names[label], names[int(p > 0.5)]] for label, p in zip(test_labels, probabilities, strict=True))
    write_table("metrics/confusion.csv", ["actual", "predicted"], confusion)
    write_table("metrics/telling_words.csv", ["style", "word", "weight"], telling_words(*labelled(train)))


if __name__ == "__main__":
    run(main)

"""Fit the classifier that tells the persona's tone from everything else, and ask what gives the tone away."""

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score

from tonetune.core.command import run
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import base_answers_to, other_answers_to, read_examples
from tonetune.core.tables import write_table
from tonetune.data.split import classifier_halves
from tonetune.scoring.calibration import calibrate, calibration_error, refuse_chance
from tonetune.scoring.leak_probes import leak_probes, telling_words
from tonetune.scoring.sklearn_files import save_fitted
from tonetune.scoring.tone_classifier import fit_classifier, labelled, negatives


def main() -> None:
    params = load_params()
    persona = load_persona(params.persona)
    train, validation, test = (read_examples(side) for side in ("train", "validation", "test"))

    # Fit on this classifier's half of the questions; the other half is the reporting classifier's.
    own, _ = classifier_halves(train)
    texts, labels = labelled(own)
    not_persona = [*other_answers_to(own), *base_answers_to(own)]
    others = negatives(own, not_persona, persona.catchphrases, params.seed)
    model = fit_classifier(
        [*texts, *others], np.append(labels, np.zeros(len(others))), params.tone_classifier, params.seed
    )
    validation_texts, validation_labels = labelled(validation)
    model = calibrate(model, validation_texts, validation_labels)
    refuse_chance(
        "tone_classifier",
        model.predict_proba(validation_texts)[:, 1],
        validation_labels,
        "the persona and the plain answers read alike: look at data/answers.jsonl, raise questions.per_prompt",
    )

    # Report on the test split.
    test_texts, test_labels = labelled(test)
    probabilities = model.predict_proba(test_texts)[:, 1]
    metrics = {
        "accuracy": accuracy_score(test_labels, probabilities > 0.5),
        **leak_probes(*labelled(train), test_texts, test_labels, persona.names),
        "classifier_auc": roc_auc_score(test_labels, probabilities),
        "calibration_error": calibration_error(probabilities, test_labels),
    }

    save_fitted("models/tone_classifier", {"classifier": model})
    write_json("metrics/tone_classifier.json", {name: round(float(value), 6) for name, value in metrics.items()})
    names = ("plain", "persona")
    confusion = ([names[label], names[int(p > 0.5)]] for label, p in zip(test_labels, probabilities, strict=True))
    write_table("metrics/confusion.csv", ["actual", "predicted"], confusion)
    write_table("metrics/telling_words.csv", ["style", "word", "weight"], telling_words(*labelled(train)))


if __name__ == "__main__":
    run(main)

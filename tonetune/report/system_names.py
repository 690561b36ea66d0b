"""What systems and controls are called where people read."""

from tonetune.evaluation.names import BASE, BEST, IDEAL, OVER, TUNED

TITLES = {
    TUNED: "Tuned",
    BEST: "Tuned, best of several by the scores",
    BASE: "Base",
    "base_prompted": "Base, told who to be",
    "base_fewshot": "Base, told, with examples",
    "teacher_persona": "Teacher's persona answers",
    "teacher_plain": "Teacher's plain answers",
    "copied": "Plain text, copied",
    "other_rewriting": "The rewriting of another text",
    "wrong_question": "Persona answers to other questions",
    "shuffled_words": "Persona answers, words shuffled",
    "repeated": "One sentence repeated",
    "cut": "Cut in the middle",
    "mixed_sentences": "Sentences of two answers mixed",
    "unseen_writer": "Another writer's persona answers",
    "nonsense": "Nonsense in the tone",
    "fillers": "Plain answers strewn with fillers",
    "catchphrases": "Plain answers with catchphrases",
}


TOLD = {" prompted": ", told who to be", " fewshot": ", told, with examples"}
"""What a rival's label is followed by, for each of `names.WAYS`."""
DRAFTERS = {BASE: "the base", IDEAL: "the teacher"}


def title(system: str) -> str:
    """The system's name in words; a rival's is its label with the way it was asked."""
    if system.startswith(OVER):
        source = system.removeprefix(OVER)
        return f"Tuned, speaking drafts of {DRAFTERS.get(source, source)}"
    for ending, words in TOLD.items():
        if system.endswith(ending):
            return system.removesuffix(ending) + words
    return TITLES.get(system, system)

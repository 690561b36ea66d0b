"""What systems and controls are called where people read."""

from tonetune.evaluation.names import (
    BASE,
    BASE_FEWSHOT,
    BASE_PROMPTED,
    BEST,
    CATCHPHRASES,
    COPIED,
    CUT,
    DRAFTED,
    FEWSHOT,
    FILLERS,
    IDEAL,
    MIXED_SENTENCES,
    NONSENSE,
    OTHER_REWRITING,
    PROMPTED,
    REPEATED,
    SHUFFLED_WORDS,
    TEACHER_PERSONA,
    TEACHER_PLAIN,
    TUNED,
    UNSEEN_WRITER,
    WRONG_QUESTION,
)

TITLES = {
    TUNED: "Tuned",
    BEST: "Tuned, best of several by the scores",
    BASE: "Base",
    BASE_PROMPTED: "Base, prompted",
    BASE_FEWSHOT: "Base, prompted with examples",
    TEACHER_PERSONA: "Teacher's persona answers",
    TEACHER_PLAIN: "Teacher's plain answers",
    COPIED: "Plain text, copied",
    OTHER_REWRITING: "The rewriting of another text",
    WRONG_QUESTION: "Persona answers to other questions",
    SHUFFLED_WORDS: "Persona answers, words shuffled",
    REPEATED: "One sentence repeated",
    CUT: "Cut in the middle",
    MIXED_SENTENCES: "Sentences of two answers mixed",
    UNSEEN_WRITER: "Another writer's persona answers",
    NONSENSE: "Nonsense in the tone",
    FILLERS: "Plain answers strewn with fillers",
    CATCHPHRASES: "Plain answers with catchphrases",
}


WAY_TITLES = {f" {PROMPTED}": ", prompted", f" {FEWSHOT}": ", prompted with examples"}
"""What a rival's label is followed by, for each of `names.WAYS`."""
DRAFTERS = {BASE: "the base", IDEAL: "the teacher"}


def title(system: str) -> str:
    """The system's name in words; a rival's is its label with the way it was asked."""
    if system.startswith(DRAFTED):
        source = system.removeprefix(DRAFTED)
        return f"Tuned, speaking drafts of {DRAFTERS.get(source, source)}"
    for ending, words in WAY_TITLES.items():
        if system.endswith(ending):
            return system.removesuffix(ending) + words
    return TITLES.get(system, system)

"""What systems and controls are called in rows of answers and in metrics: the one home of these names.

It imports nothing, so that who reads rows loads no torch for it.
"""

TUNED, BASE = "tuned", "base"
BEST = "tuned_best"
"""The tuned model sampled several times, with the answer that the scores find the best."""
PROMPTED, FEWSHOT = WAYS = ("prompted", "fewshot")
"""How an untuned model is prompted to be the persona: by a system prompt alone, and by that with examples as a talk."""
RECORDED = "recorded:"
"""Before the name of a rival whose answers are kept in git."""
IDEAL = "ideal"
"""The teacher's plain answers as drafts: how good speaking drafts can be."""

# Controls, made from the teacher's answers: the first scores high, the others low.
TEACHER_PERSONA, TEACHER_PLAIN = "teacher_persona", "teacher_plain"
WRONG_QUESTION, MIXED_SENTENCES, SHUFFLED_WORDS = "wrong_question", "mixed_sentences", "shuffled_words"
REPEATED, CUT = "repeated", "cut"
CATCHPHRASES, FILLERS = "catchphrases", "fillers"
COPIED, OTHER_REWRITING = "copied", "other_rewriting"
"""`TEACHER_PLAIN` and `WRONG_QUESTION` where the task is rewriting."""
UNSEEN_WRITER, NONSENSE = "unseen_writer", "nonsense"
"""Controls of recorded answers that readers have rated."""

DRAFTED = f"{TUNED} over "
"""Before the source of the drafts that the tuned model says in the tone, in the name of that system."""


def system_name(model: str, way: str) -> str:
    """What a model prompted in one of the `WAYS` is called in rows: `base_prompted`, or a rival's label and `prompted`."""
    return f"{model}_{way}" if model == BASE else f"{model} {way}"


BASE_PROMPTED, BASE_FEWSHOT = (system_name(BASE, way) for way in WAYS)


def drafted_name(source: str) -> str:
    """What the tuned model is called where it says the drafts of `source`: of `base`, of `ideal`, or of a model's label."""
    return DRAFTED + source


def is_model(label: str) -> bool:
    """Whether a rival or a source of drafts is a model that is loaded or asked, and not recorded, the base or the teacher."""
    return label not in (BASE, IDEAL) and not is_recorded(label)


def is_recorded(system: str) -> bool:
    """Whether it is the label, or the system's name, of a recorded rival."""
    return system.startswith(RECORDED)

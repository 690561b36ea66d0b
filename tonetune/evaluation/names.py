"""What systems are called in rows of answers and in metrics. It imports nothing, so that who reads rows loads no torch for it."""

TUNED, BASE = "tuned", "base"
BEST = "tuned_best"
"""The tuned model drawn several times, with the answer that the scores find the best."""
WAYS = ("prompted", "fewshot")
"""How a model is told who to be: by a system prompt, and by that with examples."""
RECORDED = "recorded:"
"""Before the name of a rival whose answers are kept in git."""
IDEAL = "ideal"
"""The teacher's plain answers as drafts: how good speaking drafts can be."""

OVER = f"{TUNED} over "


def told_name(model: str, way: str) -> str:
    """What a model that is told who to be is called: `base_prompted`, or a rival's label and `prompted`."""
    return f"{model}_{way}" if model == BASE else f"{model} {way}"


def over(draft: str) -> str:
    """What the tuned model is called where it speaks the drafts of another: `base`, `ideal`, or a model's label."""
    return OVER + draft


def is_recorded(system: str) -> bool:
    """Whether it is the label, or the system's name, of a recorded rival."""
    return system.startswith(RECORDED)

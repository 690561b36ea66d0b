"""What other personas answered to the same questions: good prose in a tone that is not the wanted one."""

from collections.abc import Sequence

from tonetune.core.params import Params
from tonetune.core.persona import load_persona, persona_names
from tonetune.core.rows import Example, Question
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.recordings import read_recordings, recordings_path


def other_personas_answers(params: Params, examples: Sequence[Example]) -> list[str]:
    """The recorded answers of every other persona to the examples' questions, as far as there are any."""
    answers = []
    for name in persona_names():
        path = recordings_path(name)
        if name == params.persona or not path.exists():
            continue
        asking = TeacherPrompts(params, load_persona(name))
        recorded = {recording.request: recording.text for recording in read_recordings(path) if not recording.dropped}
        for example in examples:
            question = Question(id=example.question_id, category=example.category, text=example.question)
            text = recorded.get(asking.persona_answer(question, []).key)
            if text is not None:
                answers.append(text)
    return answers

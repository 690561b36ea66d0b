"""What other personas answered to the same questions: good prose in a tone that is not the wanted one."""

from collections.abc import Mapping, Sequence

from tonetune.core.params import Params
from tonetune.core.persona import load_persona, persona_names
from tonetune.core.rows import OtherAnswer, Question
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.recordings import read_recordings, recordings_path


def other_personas_answers(
    params: Params, questions: Sequence[Question], plain: Mapping[str, str]
) -> list[OtherAnswer]:
    """The recorded answers of every other persona to the `questions`, as far as there are any; `plain` has the plain ones by id.

    A recording is found by its request's key, which holds the teacher's model and settings: a live teacher's run finds none of those
    that ship.
    """
    answers = []
    for name in persona_names():
        path = recordings_path(name)
        if name == params.persona or not path.exists():
            continue
        prompts = TeacherPrompts(params, load_persona(name))
        recorded = {recording.request: recording.text for recording in read_recordings(path) if not recording.dropped}
        for question in questions:
            if question.id not in plain or question.after:
                continue
            text = recorded.get(prompts.persona_answer(question, plain[question.id], []).key)
            if text is not None:
                answers.append(OtherAnswer(persona=name, question_id=question.id, text=text))
    return answers

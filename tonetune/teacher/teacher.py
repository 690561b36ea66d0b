"""The teacher that `teacher.mode` names."""

from tonetune.core.params import Params
from tonetune.core.persona import load_persona
from tonetune.teacher.endpoint.protocol import Teacher
from tonetune.teacher.recordings import SHARED, answer_paths, read_recordings
from tonetune.teacher.replay import ReplayTeacher


def make_teacher(params: Params) -> Teacher:
    """Replay or live, as `teacher.mode` says; somebody's own words are nobody else's to write, and always replay."""
    paths = [SHARED, *answer_paths(params.persona)]
    if load_persona(params.persona).consent:
        return ReplayTeacher(paths, mend="They are somebody's own texts: import them again, with --replace.")
    if params.teacher.mode == "replay":
        return ReplayTeacher(paths)
    from tonetune.teacher.endpoint.live import LiveTeacher  # here, because importing openai takes a second

    recorded = [recording for path in paths if path.exists() for recording in read_recordings(path)]
    return LiveTeacher(
        params.teacher, {recording.request: recording for recording in recorded if not recording.dropped}
    )

"""The teacher that `teacher.mode` names."""

from tone.params import Params
from tone.recordings import SHARED, recordings_path
from tone.teacher.protocol import Teacher
from tone.teacher.replay import ReplayTeacher


def make_teacher(params: Params) -> Teacher:
    """Replay or live, as `teacher.mode` says."""
    paths = [SHARED, recordings_path(params.persona)]
    if params.teacher.mode == "replay":
        return ReplayTeacher(paths)
    from tone.teacher.live import LiveTeacher  # here, because importing openai takes a second

    return LiveTeacher(params.teacher, [path for path in paths if path.exists()])

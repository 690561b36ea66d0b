"""The teacher that `teacher.mode` names."""

from tonetune.core.params import Params
from tonetune.teacher.endpoint.protocol import Teacher
from tonetune.teacher.recordings import SHARED, answer_paths, read_recordings
from tonetune.teacher.replay import ReplayTeacher


def make_teacher(params: Params) -> Teacher:
    """Replay or live, as `teacher.mode` says."""
    paths = [SHARED, *answer_paths(params.persona)]
    if params.teacher.mode == "replay":
        return ReplayTeacher(paths)
    from tonetune.teacher.endpoint.live import LiveTeacher  # here, because importing openai takes a second

    recorded = [recording for path in paths if path.exists() for recording in read_recordings(path)]
    return LiveTeacher(
        params.teacher, {recording.request: recording for recording in recorded if not recording.dropped}
    )

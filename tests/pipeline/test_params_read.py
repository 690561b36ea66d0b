"""Every parameter that a stage reads while it runs is listed in dvc.yaml, or an edit of it would leave old results."""

import pytest

from tests.support.workspace import STAGES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_every_parameter_that_it_reads(stage, noted):
    read = noted[stage]["read"]
    assert read
    listed = STAGES[stage]["params"]
    unlisted = [key for key in read if not any(key == known or key.startswith(f"{known}.") for known in listed)]
    assert unlisted == []

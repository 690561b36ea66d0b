"""Whose tone an export is of: the adapter's own card and params.yaml must agree, or nothing is written."""

from contextlib import chdir

import pytest

from tonetune.core.errors import UserError
from tonetune.core.persona import load_persona
from tonetune.export.provenance import provenance


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_another_persona_s_adapter_is_refused(place, tuning):
    """Else a real person's tone would be published as an invented one's."""
    other = place.params.model_copy(update={"persona": "philippa_wren"})
    with chdir(place.root):
        with pytest.raises(
            UserError, match=r"models/(lora|full): whose tone it imitates .* not that of persona: philippa"
        ):
            provenance(other, place.adapter(tuning).relative_to(place.root))
        assert provenance(place.params, place.adapter(tuning)).disclosure == load_persona("elon_musk").disclosure


def test_an_adapter_without_a_card_is_taken_as_the_persona_s_of_params_yaml(place, tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    other = place.params.model_copy(update={"persona": "philippa_wren"})
    with chdir(place.root):
        assert provenance(other, tmp_path).persona == "philippa_wren"

"""Who to sound like: one YAML file a persona, and the exchanges that every persona needs."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml
from tonetune.core.params import Params
from tonetune.core.rows import BASICS, Question, question_id
from tonetune.core.validation import StrictModel, Text, validated

FOLDER = Path("personas")
EXCHANGES = FOLDER / "exchanges.yaml"


class Consent(StrictModel):
    """Whose own words a persona is made of, and that they agree to it."""

    words_of: Text = Field(description="whose words they are")
    agreed: Literal[True] = Field(description="that this person agrees to a model that imitates their tone")
    agreed_on: date | None = Field(None, description="when they did")


class Exchange(StrictModel):
    """A question of personas/exchanges.yaml; `after` is the `id` of the one that it follows up."""

    id: Text
    text: Text
    after: Text | None = None
    answer: Text | None = Field(None, description="what it says, in a persona of own texts, where nobody is asked")


class Persona(StrictModel):
    """A persona file. Its text is part of every answer's request, so an edit asks for every answer anew."""

    name: Text
    disclosure: Text = Field(description="says that it is an AI imitation; shown wherever it speaks")
    system: Text = Field(description="the teacher's system prompt, and that of the prompted baselines")
    catchphrases: list[Text] = Field(default_factory=list, description="pasted onto plain answers as a control")
    fillers: list[Text] = Field(default_factory=list, description="strewn over plain answers as a control")
    names: list[Text] = Field(default_factory=list, description="masked when the leak probes ask if names give it away")
    questions_per_prompt: int | None = Field(None, ge=1, description="upper bound, for a persona with fewer answers")
    prompts: dict[Text, Text] | None = Field(None, description="category: prompt, in place of questions.prompts")
    consent: Consent | None = Field(None, description="needed where the persona learns from somebody's own texts")
    exchanges: list[Exchange] = Field(
        default_factory=list, description="in place of personas/exchanges.yaml, for another language than English"
    )


def persona_names() -> list[str]:
    """The personas that have a file, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path != EXCHANGES)


def load_persona(name: str) -> Persona:
    """Read `personas/<name>.yaml`; a `UserError` names the file and the field, or the personas there are."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"persona: {name!r} has no file {path}; there are: {', '.join(persona_names())}")
    return validated(Persona, load_yaml(path), path)


def for_persona(params: Params) -> Params:
    """The params as they count for their persona: one with `consent` is of own texts, which `own_texts` has values for."""
    return params.of_own_texts() if load_persona(params.persona).consent else params


def load_exchanges() -> list[Question]:
    """The exchanges of personas/exchanges.yaml, in English, as questions of the category `basics`."""
    exchanges = []
    for number, item in enumerate(load_yaml(EXCHANGES), 1):
        exchanges.append(validated(Exchange, item, f"{EXCHANGES}, item {number}"))
    return _as_questions(exchanges, str(EXCHANGES))


def exchanges_of(persona: Persona) -> list[Question]:
    """The persona's own exchanges, else those that every persona needs."""
    return _as_questions(persona.exchanges, f"{persona.name}, exchanges") if persona.exchanges else load_exchanges()


def _as_questions(exchanges: Sequence[Exchange], where: str) -> list[Question]:
    ids: dict[str, str] = {}
    questions = []
    for number, exchange in enumerate(exchanges, 1):
        if exchange.after is not None and exchange.after not in ids:
            raise UserError(f"{where}, item {number}: after: {exchange.after!r} is not the id of an earlier item")
        # A follow-up such as "Why?" may stand twice after different answers: what it follows is part of its id.
        after = ids[exchange.after] if exchange.after else None
        ids[exchange.id] = question_id(f"{after} {exchange.text}" if after else exchange.text)
        questions.append(Question(id=ids[exchange.id], category=BASICS, text=exchange.text, after=after))
    return questions

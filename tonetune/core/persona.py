"""Who to sound like: one YAML file a persona, and the exchanges that every persona needs."""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml
from tonetune.core.rows import Question, question_id
from tonetune.core.validation import Text, explain

FOLDER = Path("personas")
EXCHANGES = FOLDER / "exchanges.yaml"


class Consent(BaseModel):
    """Whose own words a persona is made of, and that they agree to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    words_of: Text = Field(description="whose words they are")
    agreed: Literal[True] = Field(description="that this person agrees to a model that imitates their tone")
    agreed_on: date | None = Field(None, description="when they did")


class Persona(BaseModel):
    """A persona file. Its text is part of every answer's request, so an edit asks for every answer anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    disclosure: Text = Field(description="says that it is an AI imitation; shown wherever it speaks")
    system: Text = Field(description="the teacher's system prompt, and that of the prompted baselines")
    catchphrases: list[Text] = Field(default_factory=list, description="pasted onto plain answers as a control")
    fillers: list[Text] = Field(default_factory=list, description="strewn over plain answers as a control")
    names: list[Text] = Field(default_factory=list, description="masked when the leak probes ask if names give it away")
    questions_per_prompt: int | None = Field(None, ge=1, description="upper bound, for a persona with fewer answers")
    prompts: dict[Text, Text] | None = Field(None, description="category: prompt, in place of questions.prompts")
    consent: Consent | None = Field(None, description="needed where the persona learns from somebody's own texts")


class Exchange(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text
    text: Text
    after: Text | None = None


def persona_names() -> list[str]:
    """The personas that have a file, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path != EXCHANGES)


def load_persona(name: str) -> Persona:
    """Read `personas/<name>.yaml`; a `UserError` names the file and the field, or the personas there are."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"persona: {name!r} has no file {path}; there are: {', '.join(persona_names())}")
    try:
        return Persona.model_validate(load_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from None


def load_exchanges() -> list[Question]:
    """The exchanges that every persona needs, as questions of the category `basics`."""
    ids: dict[str, str] = {}
    questions = []
    for number, item in enumerate(load_yaml(EXCHANGES), 1):
        try:
            exchange = Exchange.model_validate(item)
        except ValidationError as error:
            raise UserError(f"{EXCHANGES}, item {number}: {explain(error)}") from None
        if exchange.after is not None and exchange.after not in ids:
            raise UserError(f"{EXCHANGES}, item {number}: after: {exchange.after!r} is not the id of an earlier item")
        # A follow-up such as "Why?" may stand twice after different answers: what it follows is part of its id.
        after = ids[exchange.after] if exchange.after else None
        ids[exchange.id] = question_id(f"{after} {exchange.text}" if after else exchange.text)
        questions.append(Question(id=ids[exchange.id], category="basics", text=exchange.text, after=after))
    return questions

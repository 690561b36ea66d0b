"""Publishing an export on the hub: what may be published under which name, and the push itself, private unless told otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, RepositoryNotFoundError

from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml, read_json
from tonetune.core.validation import StrictModel, Text, validated
from tonetune.export.provenance import RECORD

CONSENT = Path("consent.yaml")
IMITATION = "imitation"


class Permission(StrictModel):
    """What consent.yaml says of one persona."""

    real: bool
    consent: Text | None = None


@dataclass(frozen=True)
class Export:
    """An export that is to be published."""

    folder: Path
    form: str
    persona: str
    disclosure: str
    commit: str | None


def read_export(folder: Path) -> Export:
    """What lies in the folder; a `UserError` if it is no export, or one whose check has failed."""
    if not (folder / RECORD).is_file() and any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder}: weights and no export of them; `python -m scripts.export merged` writes one, whatever train.tuning is, with "
            "the card and its figures; publish that"
        )
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: no export there; `python -m scripts.export` writes one")
    record = read_json(folder / RECORD)
    checked = folder / "check.json"
    if checked.is_file() and not read_json(checked)["passed"]:
        raise UserError(
            f"{folder}: its check failed ({checked}): it does not say what the tuned model says; export it anew"
        )
    return Export(folder, record["format"], record["persona"], record["disclosure"], record["commit"])


def consents(path: Path = CONSENT) -> dict[str, Permission]:
    """consent.yaml by persona; a `UserError` names what is wrong in it."""
    listed = load_yaml(path) or {}
    if not isinstance(listed, dict):
        raise UserError(f"{path}: must be a line for each persona: <name>: {{real: true, consent: null}}")
    return {persona: validated(Permission, said, f"{path}: {persona}") for persona, said in listed.items()}


def check_allowed(export: Export, repository: str, imitation: bool, known: Mapping[str, Permission]) -> None:
    """A `UserError` if the export may not be published under this name.

    A real person's tone needs their consent in consent.yaml, or `imitation`: then the repository's name says so, and
    the card's title has the disclosure. The disclosure is in the card of all.
    """
    path = export.folder / "README.md"
    if not path.is_file():
        raise UserError(f"{path}: no card there, and with it no disclosure; export it anew")
    card = ModelCard(path.read_text(encoding="utf-8"))
    heading = next((line for line in card.text.splitlines() if line.startswith("# ")), "")
    if export.disclosure not in card.text:
        raise UserError(f"{export.folder}/README.md: the disclosure is gone ({export.disclosure!r}); export it anew")
    said = known.get(export.persona, Permission(real=True))
    if not said.real or said.consent:
        return
    if not imitation:
        raise UserError(
            f"{export.persona}: a real person's tone, or not known to be invented, and {CONSENT} has no consent: of theirs; "
            "write down who agreed, when and where that can be seen, or publish it as an imitation with --imitation"
        )
    if IMITATION not in repository.rpartition("/")[2].lower():
        raise UserError(f"{repository}: with --imitation its name must say so, e.g. {repository}-{IMITATION}")
    if export.disclosure not in heading:
        raise UserError(f"{export.folder}/README.md: its title must have the disclosure: # {export.disclosure}")


def has_figures(export: Export) -> bool:
    """Whether the card says what the model scores; `check_allowed` has made sure that there is one."""
    return bool(ModelCard((export.folder / "README.md").read_text(encoding="utf-8")).data.get("eval_results"))


def publish(export: Export, repository: str, public: bool) -> str:
    """Push the folder to the hub, in one commit; returns its address.

    A repository that is not there is made, private unless `public`. A `UserError` if one that is there is public and
    `public` was not asked for or the other way round, or the hub refuses.
    """
    hub = HfApi()
    try:
        try:
            there = hub.model_info(repository)
        except RepositoryNotFoundError:
            there = None
        if there is not None and not there.private and not public:
            raise UserError(
                f"{repository}: is there already, and everybody can read it; say --public, or choose another name"
            )
        if there is not None and there.private and public:
            raise UserError(
                f"{repository}: is there already, and private: what it holds, and held, would be everybody's to read; open it at "
                f"{hub.endpoint}/{repository}/settings first, or choose another name"
            )
        if there is None:
            hub.create_repo(repository, private=not public)
        message = f"{export.persona}: {export.form} export of commit {export.commit or 'unknown'}"
        pushed = hub.upload_folder(repo_id=repository, folder_path=export.folder, commit_message=message)
        return str(pushed.commit_url)
    except LocalTokenNotFoundError:
        raise UserError("HF_TOKEN is not set; the hub needs a token that may write, or `hf auth login`") from None
    except HFValidationError as error:
        raise UserError(f"{repository!r}: {str(error).splitlines()[0]}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        if status in (401, 403):
            raise UserError(
                f"HF_TOKEN: {hub.endpoint} refuses it for {repository} ({status}); it must be one that may write there"
            ) from None
        raise UserError(f"{repository}: not pushed to {hub.endpoint} ({str(error).strip().splitlines()[0]})") from None
    except OSError as error:
        raise UserError(f"{hub.endpoint}: not reached ({error})") from None

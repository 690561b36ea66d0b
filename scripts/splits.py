"""Write the splits as JSONL with `messages`, one chat a line, as TRL and other trainers read it."""

import json
from pathlib import Path

from tonetune.core.files import replacing
from tonetune.core.rows import SPLITS, read_examples


def export_splits(folder: Path) -> None:
    """Write each split to `<folder>/<split>.jsonl` in the conversational format that TRL and others read."""
    splits = {split: read_examples(split) for split in SPLITS}
    for split, examples in splits.items():
        with replacing(folder / f"{split}.jsonl") as file:
            for example in examples:
                messages = [message.model_dump() for message in (*example.prompt, *example.completion)]
                file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    print(f"wrote {folder}: " + ", ".join(f"{len(examples)} {split}" for split, examples in splits.items()))

"""The splits as `scripts.recordings export` writes them, for other people's trainers."""

import sys


def test_the_exported_splits_load_in_datasets_and_train_in_trl(tiny_workspace, tiny_base, tmp_path):
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    tiny_workspace.run(sys.executable, "-m", "scripts.recordings", "export", str(tmp_path / "chat"))
    files = {split: str(tmp_path / "chat" / f"{split}.jsonl") for split in ("train", "validation", "test")}
    data = load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert [m["role"] for m in data["test"][0]["messages"]] == ["system", "user", "assistant"]
    arguments = SFTConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=1,
        per_device_train_batch_size=2,
        bf16=False,
        use_cpu=True,
        report_to=[],
    )
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_base),
        arguments,
        train_dataset=data["train"].select(range(4)),
        processing_class=AutoTokenizer.from_pretrained(tiny_base),
    )
    assert trainer.train().training_loss > 0

"""Every tuning of the tiny model, and what it is trained on."""

from tests.support.examples import example
from tonetune.core.params import Params, load_params
from tonetune.training.trainers import Task, make_trainer

TEXT = "Rockets land, cars drive themselves and meetings should end when nobody learns anything new."

EXAMPLES = [
    example(f"Why {i}?", TEXT[6 * (i % 5) :], question_id=str(i), plain="It depends on several factors.")
    for i in range(16)
]


def params_with(base, **train) -> Params:
    """The repo's params on the tiny model in float32, with changes to `train`."""
    values = load_params().model_dump()
    values |= {"base_model": f"path:{base}"}
    values["compute"] |= {"threads": 1, "dtype": "float32"}
    small = {"tuning": "qlora", "epochs": 4, "batch_size": 4, "learning_rate": 0.01, "evals_per_epoch": 1}
    small["grpo"] = values["train"]["grpo"] | {"steps": 2, "questions": 1, "generations": 4, "max_new_tokens": 4}
    small["dpo"] = values["train"]["dpo"] | {"epochs": 2}
    values["train"] |= small | train
    values["train"]["lora"] = load_params().train.lora.model_dump() | {"r": 4, "alpha": "2r"} | train.get("lora", {})
    return Params.model_validate(values)


def train(params, model, tokenizer, folder, phase, rewards=None):
    examples = EXAMPLES[:8] if phase == "dpo" else EXAMPLES  # its steps take the longest
    trainer = make_trainer(
        Task(phase, model, tokenizer, examples, examples[:4], params, folder / "checkpoints", rewards)
    )
    trainer.train()
    return trainer.state.log_history


def lengths(questions, answers):
    """A reward that random answers differ in."""
    return [len(answer) / 100 for answer in answers]


HIDDEN, INNER, SHARED, VOCABULARY, LAYERS = 64, 128, 32, 49152, 2
SHAPES = [(HIDDEN, HIDDEN), (HIDDEN, SHARED), (HIDDEN, SHARED), (HIDDEN, HIDDEN)] + 3 * [(HIDDEN, INNER)]
BLOCK = sum(a * b for a, b in SHAPES) + 2 * HIDDEN
ADAPTER = LAYERS * sum(4 * (a + b) for a, b in SHAPES)
OUTPUTS = LAYERS * (HIDDEN + 2 * SHARED + HIDDEN + 2 * INNER + HIDDEN)

# tuning: changes of `train`, what the names of all moved weights hold, how many train
TUNINGS = {
    "full": ({"tuning": "full"}, "", VOCABULARY * HIDDEN + LAYERS * BLOCK + HIDDEN),
    "last block": (
        {"tuning": "last_layers", "last_layers": {"blocks": 1, "norm": True, "head": False}},
        ("layers.1.", "model.norm"),
        BLOCK + HIDDEN,
    ),
    "head": (
        {"tuning": "last_layers", "last_layers": {"blocks": 1, "norm": False, "head": True}},
        ("layers.1.", "lm_head"),
        BLOCK + VOCABULARY * HIDDEN,
    ),
    "lora": ({"tuning": "lora"}, "lora_", ADAPTER),
    "rslora on attention": (
        {"tuning": "lora", "lora": {"rslora": True, "target_modules": "attention"}},
        ("self_attn", "lora_"),
        LAYERS * sum(4 * (a + b) for a, b in SHAPES[:4]),
    ),
    "dora": ({"tuning": "lora", "lora": {"dora": True}}, "lora_", ADAPTER + OUTPUTS),
    "pissa": ({"tuning": "lora", "lora": {"init": "pissa"}}, "lora_", ADAPTER),
    "dropout and neftune": ({"tuning": "lora", "lora": {"dropout": 0.1}, "neftune": 1.0}, "lora_", ADAPTER),
    "qlora": ({"tuning": "qlora"}, "lora_", ADAPTER),
    "qlora, dequantised each step": ({"tuning": "qlora", "dequantize": "step"}, "lora_", ADAPTER),
    "lora_8bit": ({"tuning": "lora_8bit"}, "lora_", ADAPTER),
}

"""The same arithmetic as torch, transformers and peft, in less time on a small CPU. Tensors in, tensors out: it knows no text."""

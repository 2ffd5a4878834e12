"""The forward pass of a BERT encoder, from its files: config.json, model.safetensors, tokenizer.json.

It is what transformers' BertModel computes (Devlin et al., arXiv 1810.04805; a test holds the two against each other),
without what transformers takes to be imported: seconds, and 120 MB in every process that asks which names mean alike.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention


class Bert:
    """An encoder whose files lie in `folder`.

    Args:
        max_tokens: a longer text is cut.

    Raises:
        ValueError: the config names another architecture than BERT as published.
        KeyError, OSError, RuntimeError: a file lacks something, or can't be read.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = (config["model_type"], config["hidden_act"], config.get("position_embedding_type", "absolute"))
        if kind != ("bert", "gelu", "absolute"):
            raise ValueError(f"config.json says {'/'.join(map(str, kind))}, not bert/gelu/absolute")
        self._layers: int = config["num_hidden_layers"]
        self._heads: int = config["num_attention_heads"]
        self._epsilon: float = config["layer_norm_eps"]
        weights = load_file(folder / "model.safetensors")
        self._weights = {name.removeprefix("bert."): weight.float() for name, weight in weights.items()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(pad_id=config.get("pad_token_id", 0))

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The last layer's states of each token (B, T, D), and which tokens are no padding (B, T, 1), as 0 and 1."""
        read = self._tokenizer.encode_batch(list(texts))
        mask = torch.tensor([one.attention_mask for one in read])  # (B, T)
        tokens = torch.tensor([one.ids for one in read])
        weights = self._weights
        words = embedding(tokens, weights["embeddings.word_embeddings.weight"])
        places = weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        states = self._norm(words + places + kind, "embeddings.LayerNorm")
        for layer in range(self._layers):
            states = self._layer(states, mask.bool()[:, None, None, :], f"encoder.layer.{layer}")
        return states, mask[..., None].to(states.dtype)

    def _layer(self, states: Tensor, mask: Tensor, name: str) -> Tensor:
        def heads(part: str) -> Tensor:
            projected = self._linear(states, f"{name}.attention.self.{part}")  # (B, T, D)
            return projected.view(*states.shape[:2], self._heads, -1).transpose(1, 2)  # (B, H, T, D / H)

        seen = scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), attn_mask=mask)
        seen = self._linear(seen.transpose(1, 2).flatten(2), f"{name}.attention.output.dense")  # (B, T, D)
        states = self._norm(states + seen, f"{name}.attention.output.LayerNorm")
        wide = gelu(self._linear(states, f"{name}.intermediate.dense"))
        return self._norm(states + self._linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, states: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(states, weight.shape, weight, bias, self._epsilon)

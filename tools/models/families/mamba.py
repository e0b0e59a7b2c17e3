"""A purely recurrent model with fixed random weights and a borrowed vocabulary."""

import numpy as np
from numpy.typing import NDArray

from tools.models.families.draft import Draft

WIDTH, LAYERS, STATE, KERNEL, RANK = 64, 3, 16, 4, 8
INNER = 2 * WIDTH  # llama.cpp takes no other expansion
SEED = 20


def mamba(vocabulary: Draft) -> Draft:
    """Mamba as its paper sets it up: decay rates 1 to 16 per step size, step sizes 0.005 to 0.1 in geometric order, so
    that a token is remembered for ten to two hundred others."""
    random = np.random.Generator(np.random.PCG64(SEED))

    def matrix(rows: int, columns: int, gain: float = 1.0) -> NDArray[np.float32]:
        """Keeps the variance of what it multiplies, times gain squared."""
        return ((random.random((rows, columns)) * 2 - 1) * gain * np.sqrt(3 / columns)).astype(np.float32)

    draft = Draft("mamba")
    draft.set("general.name", "tiny mamba, random weights")
    draft.set("general.file_type", 1)
    draft.put("context_length", 2048)
    draft.put("embedding_length", WIDTH)
    draft.put("feed_forward_length", 0)
    draft.put("attention.head_count", 0)
    draft.put("block_count", LAYERS)
    draft.put("ssm.conv_kernel", KERNEL)
    draft.put("ssm.inner_size", INNER)
    draft.put("ssm.state_size", STATE)
    draft.put("ssm.time_step_rank", RANK)
    draft.put("ssm.dt_b_c_rms", False)
    draft.put("attention.layer_norm_rms_epsilon", 1e-5)
    draft.copy_vocabulary(vocabulary)
    tokens = len(draft.metadata["tokenizer.ggml.tokens"][0])
    draft.add_weight("token_embd.weight", matrix(tokens, WIDTH, 3.5))
    draft.add_weight("output_norm.weight", np.ones(WIDTH, np.float32))
    steps = np.exp(np.linspace(np.log(0.005), np.log(0.1), INNER))
    for n in range(LAYERS):
        block = f"blk.{n}"
        draft.add_weight(f"{block}.attn_norm.weight", np.ones(WIDTH, np.float32))
        draft.add_weight(f"{block}.ssm_in.weight", matrix(2 * INNER, WIDTH, 2.0))
        draft.add_weight(f"{block}.ssm_conv1d.weight", matrix(INNER, KERNEL, 1.5))
        draft.add_weight(f"{block}.ssm_conv1d.bias", np.zeros(INNER, np.float32))
        draft.add_weight(f"{block}.ssm_x.weight", matrix(RANK + 2 * STATE, INNER, 1.5))
        draft.add_weight(f"{block}.ssm_dt.weight", matrix(INNER, RANK, 0.5))
        # The inverse of softplus, which the model applies.
        draft.add_weight(f"{block}.ssm_dt.bias", np.log(np.expm1(random.permutation(steps))).astype(np.float32))
        draft.tensors[f"{block}.ssm_a"] = -np.tile(np.arange(1, STATE + 1, dtype=np.float32), (INNER, 1))
        draft.add_weight(f"{block}.ssm_d", np.ones(INNER, np.float32))
        draft.add_weight(f"{block}.ssm_out.weight", matrix(WIDTH, INNER, 3.0))
    return draft

#!/usr/bin/env python3
"""Writes a tiny llama model with random weights, the same every time.

usage: make_gguf.py FILE
"""

import sys

import gguf
import numpy as np

SEED = 7
LAYERS, WIDTH, HEADS, KEY_HEADS, CONTEXT = 2, 64, 4, 2, 2048
FEED_FORWARD = WIDTH * 3
KEY_WIDTH = WIDTH // HEADS * KEY_HEADS
WORDS = (
    "the a of to and in is it you that he was for on are with as his they at be this from have or "
    "one had by word but not what all were we when your can said there use an each which she do how "
    "their if will up other about out many then them these so some her would make like him into time"
).split()


def vocabulary():
    """Control tokens, the 256 byte tokens, then pieces of text with falling scores."""
    special = ["<unk>", "<s>", "</s>"]
    octets = [f"<0x{octet:02X}>" for octet in range(256)]
    pieces = ["\u2581", *map(chr, range(33, 127)), *("\u2581" + word for word in WORDS)]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * len(octets) + [gguf.TokenType.NORMAL] * len(pieces)
    scores = [0.0] * (len(special) + len(octets)) + [-float(rank) for rank in range(len(pieces))]
    return [token.encode() for token in special + octets + pieces], kinds, scores


def main(path):
    tokens, kinds, scores = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-random-llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    )
    random = np.random.default_rng(SEED)

    def matrix(rows, columns, scale=None):
        weights = random.standard_normal((rows, columns)) * (scale or columns**-0.5)
        return weights.astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    writer.add_tensor("token_embd.weight", matrix(len(tokens), WIDTH, 1.0))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(block + "attn_norm.weight", ones)
        writer.add_tensor(block + "ffn_norm.weight", ones)
        writer.add_tensor(block + "attn_q.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(block + "attn_k.weight", matrix(KEY_WIDTH, WIDTH))
        writer.add_tensor(block + "attn_v.weight", matrix(KEY_WIDTH, WIDTH))
        writer.add_tensor(block + "attn_output.weight", matrix(WIDTH, WIDTH))
        writer.add_tensor(block + "ffn_gate.weight", matrix(FEED_FORWARD, WIDTH))
        writer.add_tensor(block + "ffn_up.weight", matrix(FEED_FORWARD, WIDTH))
        writer.add_tensor(block + "ffn_down.weight", matrix(WIDTH, FEED_FORWARD))
    output = matrix(len(tokens), WIDTH)
    output[: 3 + 256] = 0.0  # control and byte tokens are never the likeliest
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])

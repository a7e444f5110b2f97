"""An ONNX graph from the numbers of words to the vector of a sentence, with the tokenizer that gives these numbers.

input_ids, attention_mask   (texts, length) int64; what is masked by 0 is no word, and its number any
sentence_embedding          (texts, dim) float32, the mean of the others; zeros where there is none
"""

import json
from pathlib import Path

from x2static.pipeline.export.smaller import Smaller
from x2static.pipeline.export.static_model import tokenizer_json
from x2static.schemas.vectors import WordVectors

INPUTS = ("input_ids", "attention_mask")
OPSET, IR = 17, 9  # of 2022: what runs everywhere
MOST_INLINE = 1 << 30  # bytes; a file of protobuf ends at 2 GB, and larger matrices lie beside it


def write(vectors: WordVectors, folder: Path, smaller: Smaller) -> None:
    """Write the folder. Raises X2StaticError: no JSON cuts text as training did."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    tokenizer = tokenizer_json(vectors)
    nodes = [
        helper.make_node("Gather", ["embeddings", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["known"]),
        helper.make_node("ReduceSum", ["known", "second"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "second"], ["count"], keepdims=0),
        helper.make_node("Max", ["count", "one"], ["divisor"]),
        helper.make_node("Div", ["sum", "divisor"], ["sentence_embedding"]),
    ]
    constants = [
        numpy_helper.from_array(vectors.matrix, "embeddings"),
        helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("second", TensorProto.INT64, [1], [1]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["texts", "length"]) for n in INPUTS]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["texts", vectors.dim])
    graph = helper.make_graph(nodes, "x2static", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    beside = vectors.matrix.nbytes > MOST_INLINE
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=beside, location="model.onnx_data")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")

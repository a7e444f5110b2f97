"""A teacher that OpenVINO runs on the processor: its model and weights, with other code for products and attention.

It reads 1.2 times as many pieces a second as PyTorch does, in int8 1.4 times (all-MiniLM-L6-v2; other families and what
else was tried: docs/LOG.md, 2026-11-29).
"""

import functools
import sys
import threading
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from x2static.durable.errors import X2StaticError, first_line
from x2static.machine.packages import require_modules
from x2static.schemas.encoding import LAST, Layer, Precision
from x2static.stage1_encode.teacher.model import mean_of_layers, n_embedded

GROUP = 64  # numbers of an activation that share a scale in int8; twice as many read 10 % more, and err more
# How OpenVINO calls the formats that it computes with on a processor. Beside products of int8 it computes with bfloat16
# or float32, as the processor has it.
PRECISIONS: dict[str, dict[str, Any]] = {
    "float32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP},
}
KERNELS = 32  # shapes whose code is kept; the default, 5,000, takes 2 MB a shape
LEAST_COSINE = 0.999  # of a state to the same model's in PyTorch, both in float32


class NotConvertedError(X2StaticError):
    """OpenVINO cannot have this model, PyTorch can."""


class OpenVinoModel:
    """The states of a model, computed by OpenVINO; some threads may ask at once, each for a batch."""

    def __init__(
        self, model: PreTrainedModel, layer: Layer | str, precision: Precision, lanes: int, window: int
    ) -> None:
        """Convert a model in float32, and see that it gives the states that it has in PyTorch.

        `lanes` are how many batches are read at once, `window` the pieces that the model holds. Raises X2StaticError:
        OpenVINO is not installed, cannot convert the model, converts it wrongly, or has no such precision here.
        """
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise X2StaticError(f"--backend openvino computes in {known}, not in {precision}; use --backend torch")
        self._model, self._layer, self._precision = model, layer, precision
        self._lanes, self._threads = lanes, torch.get_num_threads()
        self._making = threading.Lock()
        self._every: _Compiled | None = None  # for the states of all layers, once somebody asks
        for last_try in (False, True):
            graph = _converted(model, layer)
            exact = self._compile(graph, "float32")
            try:
                self._check(exact, window)
                break
            except NotConvertedError:
                if last_try:
                    raise
                # Plain attention masks with a large number instead of minus infinity, which in OpenVINO makes padding
                # that sees nothing but padding (ModernBERT's windows) not a number, and then all that looks at it.
                model.set_attn_implementation("eager")
        self._chosen = exact if precision == "float32" else self._compile(graph, precision)

    def states(self, pieces: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the layer's states of padded pieces, (rows, width, dim) float32."""
        return self._chosen(pieces, mask)[0]

    def layers(self, pieces: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the states of every layer, the embeddings first, each (rows, width, dim) float32."""
        with self._making:
            if self._every is None:
                self._every = self._compile(_converted(self._model, None), self._precision)
        return self._every(pieces, mask)

    def _compile(self, graph: Any, precision: Precision) -> "_Compiled":
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self._lanes,
            "ENABLE_CPU_PINNING": False,  # other processes have their share of the cores
            "CPU_RUNTIME_CACHE_CAPACITY": KERNELS,
            **PRECISIONS[precision],
        }
        if precision == "int8":
            _quantise(graph)
        try:
            compiled = _core().compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise NotConvertedError(f"OpenVINO cannot run this model here ({first_line(error)})") from error
        if precision == "bfloat16" and compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.bf16:
            raise X2StaticError(
                "--precision bfloat16: OpenVINO does not compute with it here; give --precision float32"
            )
        return _Compiled(compiled)

    @torch.inference_mode()
    def _check(self, compiled: "_Compiled", window: int) -> None:
        """Compare with PyTorch: what a model does for some lengths or masks alone, a conversion does not see."""
        random = torch.Generator().manual_seed(0)
        n_ids = n_embedded(self._model)
        for rows, width in ((2, min(5, window)), (3, min(64, window)), (1, min(2048, window))):
            pieces = torch.randint(0, n_ids, (rows, width), generator=random)
            mask = torch.ones_like(pieces)
            mask[1:, width // 2 :] = 0
            (states,), (expected,) = compiled(pieces, mask), _Wanted(self._model, self._layer)(pieces, mask)
            cosine = float(nn.functional.cosine_similarity(states, expected, dim=-1)[mask.bool()].min())
            if not cosine >= LEAST_COSINE:
                what = f"its states of {width} pieces have a cosine of {cosine:.4f} to PyTorch's"
                raise NotConvertedError(f"OpenVINO converts this model wrongly ({what})")


@functools.cache
def _core() -> Any:
    """Return OpenVINO's runtime, which stays to the process's end.

    It gives the thread that compiles first another stack for signal handlers, and takes it away when the last model is
    let go; if that is in another thread, the first keeps a stack that is no more, and dies of the next Ctrl-C.
    """
    import openvino

    return openvino.Core()


class _Compiled:
    """A graph that is ready to run, in some threads at once."""

    def __init__(self, compiled: Any) -> None:
        self._compiled, self._here = compiled, threading.local()

    def __call__(self, pieces: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return its outputs."""
        if not hasattr(self._here, "request"):
            self._here.request = self._compiled.create_infer_request()
        results = self._here.request.infer([pieces.numpy(), mask.numpy()])  # copies, which stay as they are
        return tuple(torch.from_numpy(results[number]) for number in range(len(self._compiled.outputs)))


class _Wanted(nn.Module):
    """A model whose outputs are the states that are wanted: of one layer, the mean of some, or of all (None)."""

    def __init__(self, model: PreTrainedModel, layer: Layer | str | None) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, pieces: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return them."""
        outputs = self.model(input_ids=pieces, attention_mask=mask, output_hidden_states=self.layer != LAST)
        if self.layer == LAST:
            return (outputs.last_hidden_state,)
        layers = (*outputs.hidden_states[:-1], outputs.last_hidden_state)
        return layers if self.layer is None else (mean_of_layers(layers, self.layer),)


def _converted(model: PreTrainedModel, layer: Layer | str | None) -> Any:
    """Return OpenVINO's graph of a model; of the layers above the wanted one nothing is in it."""
    # It reports every import and conversion to a server, unless the package that does so is not there.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it then fails
    require_modules("openvino", "openvino")
    pieces = torch.arange(8).reshape(2, 4) % n_embedded(model)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    try:
        import openvino

        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of tracing, in general: see _check
            return openvino.convert_model(_Wanted(model, layer), example_input=(pieces, mask))
    except Exception as error:  # a package that does not fit the machine; a model that does what has no counterpart
        raise NotConvertedError(f"OpenVINO cannot convert this model ({first_line(error)})") from error


def _quantise(graph: Any) -> None:
    """Make the weights of a graph's products int8, each output's with its own scale; activations follow as they come.

    Embeddings stay as they are.
    """
    from openvino import Type, opset13

    for node in list(graph.get_ordered_ops()):
        source = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        if source is None or source.get_type_name() != "Constant" or len(source.shape) != 2:
            continue
        weights = source.data.astype(np.float32)
        inputs = 1 if node.get_attributes()["transpose_b"] else 0  # the axis of the weights that a product sums over
        scales = np.maximum(np.abs(weights).max(axis=inputs, keepdims=True) / 127, 1e-12)
        codes = opset13.constant(np.rint(weights / scales).astype(np.int8))
        product = opset13.multiply(opset13.convert(codes, Type.f32), opset13.constant(scales.astype(np.float32)))
        node.input(1).replace_source_output(product.output(0))

"""The checks of `benchmarks/gpu_check.py`: what a device makes is held against what the CPU makes of the same text.

Cosines are about the mean of the CPU's vectors, because the contexts of one teacher all point in nearly the same
direction: of random BERTs, two contexts have a cosine of 0.97.
"""

import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, get_args
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
import transformers as hf

from x2static.durable.errors import Interrupted
from x2static.machine.device import has_bfloat16, memory_of
from x2static.machine.packages import package_version
from x2static.machine.progress import Progress, Report, silent
from x2static.schemas.cache import Cache
from x2static.schemas.encoding import EncodeConfig, Precision
from x2static.schemas.training import PURPOSES, ObjectiveName, TrainConfig
from x2static.schemas.vectors import WordVectors
from x2static.schemas.word_states import word_means
from x2static.stage1_encode.encode import encode
from x2static.stage1_encode.encoder import ChosenTeacher, Encoder
from x2static.stage1_encode.phrases import counted_words, read_phrases
from x2static.stage1_encode.plan.origin import Origin
from x2static.stage1_encode.pools.word_states import WordStates
from x2static.stage1_encode.text.preparation import prepared
from x2static.stage2_train import sampling
from x2static.stage2_train.trainer import train

ROOT = Path(__file__).resolve().parents[1]
# The least cosine of a context to the CPU's in float32. On a CPU, bfloat16 came to 0.9987 and float16 to 0.99998
# (random BERT and RoBERTa of 12 layers).
LIMITS: dict[Precision, float] = {"float32": 0.9999, "float16": 0.999, "bfloat16": 0.99}
STATES_LIMIT = 0.97  # of the mean cosine of words' own states, which are stored in some three bits a value
VECTORS_LIMIT, LOSS_LIMIT = 0.999, 0.01  # of trained vectors' mean cosine, and of the losses' distance, as a share
DRAWS_LIMIT = 0.05  # the same share where the device draws other targets and negatives than the CPU
# Shares of what a batch takes in memory that are left to the teacher, one after the other, until it is too little. The
# first are too much: driver and PyTorch need not agree on the size of the device.
ROOM = (4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25)
UNITS = 8  # of the cache that is trained on
LEAST_COUNT = 3  # of a word that is trained

Figures = dict[str, Any]
Floats = npt.NDArray[np.float64]
Outcome = tuple[Figures, list[str]]  # what was measured, and which limits it misses


class Size(NamedTuple):
    """How large the random teachers and the text are."""

    dim: int
    layers: int
    heads: int
    window: int  # pieces that a random teacher holds
    n_compared: int  # paragraphs that the CPU reads, too
    n_timed: int  # paragraphs that are read for a rate
    n_trained: int  # paragraphs of the cache that is trained on


SIZES = {"base": Size(768, 12, 12, 512, 96, 1024, 4096), "tiny": Size(32, 2, 2, 64, 24, 24, 160)}
# The paper's objective and the one with shared negatives, both from nothing; then all objectives as users get them, but
# so fast that draws show. On a CPU, another seed left a mean cosine of 0.07 and 0.02 (the first two) and of 0.989 and
# 0.75 (the two that begin at views), bfloat16 in place of float32 at least 0.99999.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "paper": {"compat": "paper"},
    "shared": {"negatives_mode": "shared", "init": "uniform"},
    **{name: {"objective": name, "lr": 0.03} for name in get_args(ObjectiveName)},
}
OBJECTIVES["sentence"] |= PURPOSES["sentences"]


class Skipped(Exception):  # noqa: N818 - it is no error
    """A check cannot be made here; its text says what it needs."""


@dataclass(frozen=True)
class Setup:
    """What all checks share."""

    device: torch.device
    teacher: str  # folder of the given teacher
    size: Size
    corpus: Path  # paragraphs, one a line
    folder: Path  # of caches, runs and teachers that are made on the way
    deadline: float  # by `time.monotonic`, when all is to be over

    def config(self, cache: str, **options: Any) -> EncodeConfig:
        """Return the configuration of an encode on the device; one thread prepares text, since no encode is timed."""
        values = {"model": self.teacher, "device": self.device.type, "workers": 1, **options}
        return EncodeConfig(cache=self.folder / cache, corpus=(str(self.corpus),), **values)


Check = tuple[str, str, Callable[[Setup], Outcome]]  # its name, its setting, and what makes it


def families(size: Size, n_pieces: int, padding: int) -> dict[str, Callable[[], hf.PreTrainedModel]]:
    """Return what makes a random teacher of each family, for a vocabulary of pieces and the padding's id."""
    dim, layers, heads, window = size[:4]
    ids: dict[str, Any] = {"vocab_size": n_pieces, "pad_token_id": padding}
    bert = ids | {"hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads}
    bert |= {"intermediate_size": 4 * dim, "max_position_embeddings": window}
    roberta = bert | {"max_position_embeddings": window + padding + 1, "type_vocab_size": 1}
    modern = bert | {"intermediate_size": 3 * dim // 2, "local_attention": window // 4}
    gpt2 = ids | {"n_embd": dim, "n_layer": layers, "n_head": heads, "n_positions": window}
    t5 = ids | {"d_model": dim, "d_kv": dim // heads, "d_ff": 4 * dim, "num_layers": layers, "num_heads": heads}
    return {
        "bert": lambda: hf.BertModel(hf.BertConfig(**bert)),
        "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**roberta)),
        "gpt2": lambda: hf.GPT2Model(hf.GPT2Config(**gpt2)),
        "modernbert": lambda: hf.ModernBertModel(hf.ModernBertConfig(**modern)),
        "t5-encoder": lambda: hf.T5EncoderModel(hf.T5Config(**t5)),
    }


def random_teacher(setup: Setup, family: str) -> str:
    """Return the folder of a random teacher with the given teacher's tokenizer; it is made if it is not there."""
    folder = setup.folder / f"teacher-{family}"
    if not folder.is_dir():
        tokenizer = hf.AutoTokenizer.from_pretrained(setup.teacher)
        tokenizer.model_max_length = setup.size.window
        torch.manual_seed(0)
        families(setup.size, len(tokenizer), tokenizer.pad_token_id or 0)[family]().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)


# --- figures ---------------------------------------------------------------------------------------------------------


def agreement(vectors: Any, reference: Any, of: str = "", least: float = -1.0, mean: float = -1.0) -> Outcome:
    """Return least and mean cosine of the rows of two (n, dim); limits that they miss are said. NaN misses them all."""
    centre = reference.astype(float).mean(0)
    one, other = vectors - centre, reference - centre
    cosines: Floats = (one * other).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    figures = {f"least_cosine{of}": round(float(cosines.min()), 6), f"mean_cosine{of}": round(float(cosines.mean()), 6)}
    limits = zip(figures.items(), (least, mean), strict=True)
    return figures, [f"{name} {value} < {limit}" for (name, value), limit in limits if not value >= limit]


def caches_agree(cache: Cache, reference: Cache, limit: float) -> Outcome:
    """Return how a cache agrees with the CPU's: the words exactly, contexts and the words' own states by cosines."""
    ours, theirs = cache.shards(), reference.shards()
    for one, other in zip(ours, theirs, strict=True):
        if not (one.words().equals(other.words()) and one.lexicon().equals(other.lexicon())):
            n_contexts = f"{one.marker.n_contexts} and {other.marker.n_contexts} contexts"
            return {}, [f"shard {one.folder.name}: other words than the CPU's ({n_contexts})"]
    contexts, expected = (np.concatenate([shard.contexts() for shard in shards]) for shards in (ours, theirs))
    words = counted_words(reference, 1)
    states, expected_states = (word_means(shards, words)[0] for shards in (ours, theirs))
    figures, missed = agreement(contexts, expected, least=limit)
    more, also_missed = agreement(states, expected_states, of="_of_word_states", mean=STATES_LIMIT)
    return {"contexts": len(contexts), **figures, **more}, missed + also_missed


def loss_missed(loss: float, reference: float, limit: float) -> list[str]:
    """Say that a loss is too far from the CPU's, if it is."""
    share = abs(loss / reference - 1)
    return [] if share <= limit else [f"loss {loss:.5f} is {share:.1%} off the CPU's {reference:.5f}"]


def load(setup: Setup, **options: Any) -> tuple[Encoder, Precision, float]:
    """Return a teacher on the device, its precision, and the seconds that loading took."""
    began = time.perf_counter()
    chosen = ChosenTeacher(setup.config("unused", **options))
    return chosen.load(), chosen.precision, time.perf_counter() - began


def read(setup: Setup, encoder: Encoder) -> tuple[npt.NDArray[Any], float, int]:
    """Read the text that is timed; return its contexts, (n, dim), the seconds of the teacher alone, and pieces/s."""
    texts = setup.corpus.read_text(encoding="utf-8").splitlines()[: setup.size.n_timed]
    portions = [text for _, text in prepared([(0, texts)], encoder.preparer, 1, len(texts))]
    n_before, began = encoder.n_tokens, time.perf_counter()
    contexts = encoder.encode(portions, "gpu_check").contexts()
    seconds = time.perf_counter() - began
    return contexts, seconds, round((encoder.n_tokens - n_before) / seconds)


# --- stage one -------------------------------------------------------------------------------------------------------


def environment(setup: Setup) -> Outcome:
    """Say where all this ran."""

    def printed(*command: str) -> str | None:
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.check_output(command, cwd=ROOT, text=True, timeout=20, stderr=subprocess.DEVNULL).strip()
        return None

    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    figures: Figures = {"x2static": version, "commit": printed("git", "rev-parse", "--short=12", "HEAD")}
    figures |= {name: package_version(name) for name in ("torch", "transformers", "tokenizers", "numpy")}
    figures |= {"python": platform.python_version(), "cuda": torch.version.cuda, "cores": os.cpu_count()}
    figures |= {"memory_bytes": memory_of(setup.device), "bfloat16": has_bfloat16(setup.device)}
    if setup.device.type == "cuda":
        figures["gpu"] = torch.cuda.get_device_name(setup.device)
        figures["capability"] = ".".join(map(str, torch.cuda.get_device_capability(setup.device)))
        figures["driver"] = printed("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return figures, []


def encode_alike(setup: Setup, family: str, precision: Precision) -> Outcome:
    """Encode the same paragraphs on the device and, in float32, on the CPU; time the teacher on the device."""
    model = setup.teacher if family == "teacher" else random_teacher(setup, family)
    limited = {"model": model, "limit": setup.size.n_compared}
    config = setup.config(f"{family}-{precision}", precision=precision, **limited)
    on_cpu = setup.config(f"{family}-cpu", precision="float32", **limited | {"device": "cpu"})
    for one in (on_cpu, config):
        encode(one, pools=[WordStates()])  # the CPU's is finished after the first precision
    figures, missed = caches_agree(Cache.open(config.cache), Cache.open(on_cpu.cache), LIMITS[precision])
    encoder, _, _ = load(setup, model=model, precision=precision)
    read(setup, encoder)  # warms up
    return {**figures, "pieces_per_second": read(setup, encoder)[2]}, missed


def make_cache(setup: Setup) -> Outcome:
    """Encode what is trained on, with all that a cache keeps, on the device."""
    config = setup.config("cache", unit=-(-setup.size.n_trained // UNITS))
    encoded = encode(config, pools=[WordStates()])
    origin = Origin(None, (), config.device, False)
    phrases = read_phrases(Cache.open(config.cache), origin, LEAST_COUNT)
    figures = {name: encoded[name] for name in ("shards", "contexts", "words", "teacher_tokens", "seconds")}
    return {**figures, "words_in_phrases": phrases["words_read"], "phrase_seconds": round(phrases["seconds"], 3)}, []


def resume(setup: Setup) -> Outcome:
    """Interrupt the same encode after some units and finish it: every file has the hash of the one made in one go."""
    whole = Cache.open(setup.folder / "cache").shards()
    config = setup.config("resumed", unit=-(-setup.size.n_trained // UNITS))

    def interrupt(progress: Progress) -> None:
        if progress.done >= 2 * (config.unit or 0):
            raise KeyboardInterrupt

    with suppress(Interrupted):
        encode(config, interrupt, [WordStates()])
    n_before = len(Cache.open(config.cache).indices())
    encode(config, pools=[WordStates()])
    hashes = [
        {(shard.folder.name, name): value for shard in shards for name, value in shard.marker.all_files().items()}
        for shards in (whole, Cache.open(config.cache).shards())
    ]
    other = sorted({place for place, _ in hashes[0].items() ^ hashes[1].items()})
    missed = [f"{shard}/{name} has other bytes" for shard, name in other]
    if not 0 < n_before < len(whole):
        missed.append("the interrupt left nothing to do, or nothing done")
    return {
        "units": len(whole),
        "units_before": n_before,
        "files": len(hashes[0]),
        "files_otherwise": len(other),
    }, missed


@contextmanager
def room(encoder: Encoder, share: float, batch_bytes: int) -> Iterator[None]:
    """Leave a teacher so large a share of what its batches take; a CPU only pretends, with a byte for each piece."""
    device, states = encoder.teacher.device, encoder.teacher.states

    def pretend(batch: list[Any]) -> torch.Tensor:
        if len(batch) * len(batch[0].pieces) > share * batch_bytes:
            raise torch.OutOfMemoryError("pretended")
        return states(batch)

    if device.type == "cpu":
        with patch.object(encoder.teacher, "states", pretend):
            yield
        return
    gc.collect()
    torch.cuda.empty_cache()
    left = torch.cuda.memory_reserved() + share * batch_bytes
    torch.cuda.set_per_process_memory_fraction(min(1.0, left / memory_of(device)))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def out_of_memory(setup: Setup) -> Outcome:
    """Leave the teacher ever less memory until its batches no longer fit: it goes on with smaller ones, to the same."""
    encoder, precision, _ = load(setup)
    whole, on_gpu = encoder.max_tokens, setup.device.type == "cuda"
    read(setup, encoder)  # what a first batch takes beside its states stays
    batch_bytes = whole
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        batch_bytes = -torch.cuda.memory_allocated()
    contexts = reference = read(setup, encoder)[0]
    if on_gpu:
        batch_bytes += torch.cuda.max_memory_allocated()
    share = 0.0
    for share in ROOM:
        with room(encoder, share, batch_bytes):
            contexts = read(setup, encoder)[0]
        if encoder.max_tokens < whole:
            break
    figures, missed = agreement(contexts, reference, least=LIMITS[precision])
    if encoder.max_tokens == whole:
        missed.append("nothing ran out of memory")
    named = {"precision": precision, "max_tokens": whole, "max_tokens_after": encoder.max_tokens, "share_left": share}
    return {**named, **({"batch_bytes": batch_bytes} if on_gpu else {}), **figures}, missed


def compiled(setup: Setup) -> Outcome:
    """Hold the teacher that torch has compiled against itself."""
    if setup.device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise Skipped("needs g++, with which torch compiles for a CPU")
    readings, seconds = [], []
    for compile_it in (False, True):
        encoder, precision, loading = load(setup, compile=compile_it)
        _, first, _ = read(setup, encoder)  # compiles
        readings.append(read(setup, encoder))
        seconds.append(loading + first - readings[-1][1])
    (reference, _, eager_rate), (contexts, _, compiled_rate) = readings
    figures, missed = agreement(contexts, reference, least=LIMITS[precision])
    figures |= {"compile_seconds": round(seconds[1] - seconds[0], 1), "pieces_per_second_eager": eager_rate}
    return {"precision": precision, **figures, "pieces_per_second_compiled": compiled_rate}, missed


def benchmark(setup: Setup) -> Outcome:
    """Run the benchmark of stage one in a process of its own, and take whatever it prints last."""
    if find_spec("sentence_transformers") is None:
        raise Skipped("needs sentence-transformers, the plain loop of which it times")
    command = [sys.executable, "-m", "benchmarks.encode", "--corpus", str(setup.corpus), "--model", setup.teacher]
    command += ["--device", setup.device.type, "--paragraphs", str(setup.size.n_trained)]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    seconds = max(1.0, min(180.0, setup.deadline - time.monotonic()))
    options: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": paths}, "timeout": seconds}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if ran.returncode:
        raise RuntimeError(f"benchmarks.encode ended with {ran.returncode}: {' '.join(ran.stderr.split())[-600:]}")
    return json.loads(ran.stdout.strip().splitlines()[-1]), []


# --- stage two -------------------------------------------------------------------------------------------------------


@contextmanager
def host_numbers() -> Iterator[None]:
    """Let every device draw as an accelerator does, but from the host's numbers: only rounding then differs."""

    def numbers(draws: sampling.Draws, shape: tuple[int, ...], *place: Any) -> torch.Tensor:
        return torch.from_numpy(sampling.generator(draws.seed, *place).random(shape)).to(draws.keep.device)

    as_on_device = patch.object(sampling, "drawn_on_device", lambda _: True)
    with as_on_device, patch.object(sampling.Draws, "_device_numbers", numbers):
        yield


def trained(setup: Setup, objective: str, name: str, report: Report = silent, **options: Any) -> Figures:
    """Train an objective, unless the run of this name is finished; return its figures."""
    values = {"min_count": LEAST_COUNT, "device": setup.device.type, **OBJECTIVES[objective], **options}
    return train(TrainConfig(cache=setup.folder / "cache", out=setup.folder / f"{objective}-{name}", **values), report)


def train_alike(setup: Setup, objective: str) -> Outcome:
    """Train an epoch on the device and on the CPU, with the same draws."""
    with host_numbers():
        ours, theirs = trained(setup, objective, "device"), trained(setup, objective, "cpu", device="cpu")
    one, other = (WordVectors.load(setup.folder / f"{objective}-{name}") for name in ("device", "cpu"))
    if one.words != other.words:
        return {}, [f"other words than the CPU's: {len(one.words)} and {len(other.words)}"]
    figures, missed = agreement(one.matrix, other.matrix, mean=VECTORS_LIMIT)
    figures = {name: ours[name] for name in ("vocabulary", "dim", "steps", "seconds")} | figures
    if theirs["loss"] is not None:
        figures |= {"loss": round(ours["loss"], 5), "loss_cpu": round(theirs["loss"], 5)}
        missed += loss_missed(ours["loss"], theirs["loss"], LOSS_LIMIT)
    return figures, missed


def train_rate(setup: Setup) -> Outcome:
    """Time the steps of the paper's objective in a third epoch, with the device's own draws."""
    marks: list[tuple[int, float]] = []
    epochs = 3
    trained(setup, "paper", "rate", lambda done: marks.append((done.done, time.perf_counter())), epochs=epochs)
    loss = WordVectors.load(setup.folder / "paper-rate").run["losses"][0]
    with host_numbers():
        reference = trained(setup, "paper", "cpu", device="cpu")["loss"]  # finished, after `train paper`
    # (words, seconds) of each step but the epoch's first
    steps = np.diff(np.array(marks[-(len(marks) // epochs) :]), axis=0)
    n_words, seconds = np.median(steps, axis=0)
    rate = {"steps": len(steps), "words_per_second": round(n_words / seconds), "step_ms": round(1e3 * seconds, 3)}
    return {**rate, "loss": round(loss, 5)}, loss_missed(loss, reference, DRAWS_LIMIT)


def launches(setup: Setup) -> Outcome:
    """Count what a step of the paper's objective launches, and the device's own time in it."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setup.device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        steps = trained(setup, "paper", "profiled")["steps"]
    events = profiler.key_averages()
    counts = {
        "operations_per_step": sum(event.count for event in events if event.key.startswith("aten::")),
        "launches_per_step": sum(event.count for event in events if "LaunchKernel" in event.key),
        # An operation has the time of its kernels, too.
        "device_us_per_step": sum(event.self_device_time_total for event in events if event.device_type.name == "CUDA"),
    }
    return {"steps": steps, **{name: round(count / steps, 1) for name, count in counts.items()}}, []


def all_checks() -> list[Check]:
    """Return the checks, what matters most first."""
    encodes = {
        family: [(f"encode {family}", of, partial(encode_alike, family=family, precision=of)) for of in LIMITS]
        for family in ("teacher", *families(SIZES["tiny"], 1, 0))
    }
    return [
        ("environment", "", environment),
        *encodes.pop("teacher"),
        ("cache", "with word states and phrases", make_cache),
        ("resume", "interrupted after 2 units", resume),
        ("out of memory", "batches that do not fit", out_of_memory),
        *((f"train {name}", "the CPU's draws", partial(train_alike, objective=name)) for name in OBJECTIVES),
        ("training rate", "paper, the device's draws", train_rate),
        ("training launches", "paper, profiled", launches),
        ("benchmark", "benchmarks.encode", benchmark),
        ("compile", "the teacher", compiled),
        *(check for checks in encodes.values() for check in checks),
    ]

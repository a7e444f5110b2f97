"""The command line: exit states, one-line errors, configuration files and JSON."""

import errno
import io
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import run_here
from tests.schemas.caches import make_cache
from x2static.durable.errors import Interrupted, X2StaticError
from x2static.machine.packages import install_extra
from x2static.machine.progress import Progress
from x2static.machine.screen import quantity
from x2static.pipeline import cli
from x2static.pipeline.options import GROUPS
from x2static.pipeline.terminal import ProgressLine, duration, message, size
from x2static.schemas.encoding import EncodeConfig
from x2static.schemas.training import TrainConfig

ENCODE, TRAIN = "encode --model demo --corpus demo --cache x", "train --cache x --out y"
NOTHING = {"shards": 0, "shards_resumed": 0, "contexts": 0, "words": 0, "cache_bytes": 0, "seconds": 0}
NOTHING |= {"paragraphs": 0, "paragraphs_read": 0, "min_sentences": 1, "min_characters": 0}


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_is_listed_and_explains_itself(command, capsys):
    assert cli.run(["--help"]) == 0
    assert f"  {command} " in capsys.readouterr().out
    assert cli.run([command, "--help"]) == 0
    assert "Usage: x2static " + command in capsys.readouterr().out


def test_help_is_quick():
    code = (
        "import sys\n"
        "from x2static.pipeline.cli import COMMANDS, run\n"
        "for command in ('demo', 'encode', 'train', 'baseline', 'data', 'explore', 'push'):\n"
        "    assert run([command, '--help']) == 0\n"
        "light = set(sys.modules)\n"
        "for command in COMMANDS: assert run([command, '--help']) == 0\n"
        "late = {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "heavy = {'numpy', 'pyarrow', 'zarr', 'torch', 'transformers', 'datasets', 'pooch', 'requests'}\n"
        "heavy.add('huggingface_hub')\n"
        "sys.exit(', '.join(heavy & light | late) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["encode", "train", "baseline", "sweep", "cache merge", "data fetch"])
def test_help_has_what_is_required_first_then_groups_and_an_example(command, capsys):
    text = run_here(capsys, [*command.split(), "--help"]).out
    sections = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[:1].strip()]
    assert sections == [name for name in ("Required", "Options", *GROUPS) if name in sections]
    assert sections[-1] == "Running"
    _, _, last = text.partition("\nRunning:\n")
    assert all(f"{option} " in last for option in ("--config PATH", "--json", "--debug", "--help"))
    assert text.splitlines()[-1].startswith(f"Example: x2static {command} ")


def test_no_option_is_in_two_groups():
    names = " ".join(GROUPS.values()).split()
    assert len(names) == len(set(names))


def test_a_shell_can_complete_commands(monkeypatch, capsys):
    for name, value in {"_X2STATIC_COMPLETE": "bash_complete", "COMP_WORDS": "x2static tr", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    assert cli.run([]) == 0
    assert capsys.readouterr().out == "plain,train\n"


WRONG = {
    "encode --model demo": "error: missing: --corpus, --cache; see `x2static encode --help`",
    "cache info": "error: missing: FOLDER; see `x2static cache info --help`",
    "baseline": "missing: NAME, --out",
    "trian": "error: no such command: trian; did you mean train?; see `x2static --help`",
    "cache verfy x": "no such command: verfy; did you mean verify?",
    "encode --model demo --corpus demo": "--cache",
    f"{ENCODE} --share 0.1": "'--sample'",
    f"{ENCODE} --speed 9": "--speed",
    f"{ENCODE} --unit 0": "--unit 0",
    f"{ENCODE} --part 4/3": "--part 4/3: ",
    f"{ENCODE} --sample 0": "--sample 0.0: ",
    f"{TRAIN} --lr 0": "--lr 0.0: input should be greater than 0",
    f"{TRAIN} --lr nan": "--lr",
    f"{TRAIN} --epochs two": "two",
    f"{TRAIN} --schedule steep": "'steep' is not one of 'constant', 'linear', 'cosine'",
    "export x --to excel --out y": "excel",
    "cache repair x --device abacus": "--device",
    "distill": "distill",
}
NOWHERE = """train --cache nowhere --out out
evaluate nowhere
export nowhere --to word2vec --out file
push nowhere owner/name
report nowhere
cache info nowhere
cache verify nowhere
cache repair nowhere
cache merge nowhere --out out
cache sample nowhere --out out --first 1
encode --model demo --corpus nowhere.txt --cache cache
encode --model ./nowhere --corpus demo --cache cache"""


@pytest.mark.parametrize(("arguments", "named"), WRONG.items())
def test_wrong_usage_exits_with_2_and_names_the_option_in_one_line(arguments, named, capsys):
    assert cli.run(arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_without_a_command_there_is_help(capsys):
    assert cli.run([]) == 2
    assert "Commands:" in "".join(capsys.readouterr())


@pytest.mark.parametrize("arguments", NOWHERE.splitlines())
def test_an_error_is_one_line_that_names_the_place_and_exits_with_1(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = run_here(capsys, arguments.split())
    assert (done.status, done.err.count("\n"), list(tmp_path.iterdir())) == (1, 1, [])
    assert done.err.startswith("error: ")
    assert "nowhere" in done.err


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (X2StaticError("what,\n  where"), "what, where"),
        (OSError(errno.ENOSPC, "No space left on device", "/dev/full"), "the disk is full (/dev/full)"),
        (RuntimeError("No space left on device (os error 28)"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied (/x)"),
        (ModuleNotFoundError("No module named 'zarr'", name="zarr"), f"this needs zarr: {install_extra('train')}"),
        (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero"),
    ],
)
def test_every_error_becomes_one_line(error, text):
    assert message(error).startswith(text)
    assert "\n" not in message(error)


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), 130), (Interrupted("saved"), 130), (ZeroDivisionError(), 1), (X2StaticError("no"), 1)],
)
def test_exit_states(error, status, monkeypatch, capsys):
    monkeypatch.setattr("x2static.schemas.cache.Cache.open", Mock(side_effect=error))
    assert cli.run(["cache", "info", "anywhere"]) == status
    assert "Traceback" not in capsys.readouterr().err
    assert cli.run(["cache", "info", "anywhere", "--debug"]) == status
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, Exception)


def config_file(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def training_configs(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The configurations that training was called with."""
    configs: list[TrainConfig] = []
    result = {"vocabulary": 1, "dim": 1, "loss": None, "finished_before": True, "seconds": 0}
    monkeypatch.setattr("x2static.stage2_train.trainer.train", lambda config, _: configs.append(config) or result)
    return configs


def test_options_can_stand_in_a_toml_file_and_the_command_line_wins(tmp_path, training_configs):
    file = config_file(tmp_path, 'cache = "from-file"\nout = "o"\nlr = 0.5\nmin-count = 7\nbatch_size = 9\n')
    assert cli.run(["train", "--config", file, "--lr", "0.25"]) == 0
    expected = TrainConfig(cache=Path("from-file"), out=Path("o"), lr=0.25, min_count=7, batch_size=9)
    assert training_configs == [expected]


def test_compat_paper_keeps_what_is_not_asked_for_wherever_it_stands(tmp_path, monkeypatch, training_configs):
    # Every default that a user could have meant differs from the paper's; click was given the old ones.
    paper = {"lr": 7.0, "epochs": 70, "min_count": 700, "warmup": 0.7, "dim": 77}
    monkeypatch.setattr("x2static.schemas.training.PAPER", paper)
    file = config_file(tmp_path, 'compat = "paper"\nmin-count = 10\n')  # in a file, equal to the default
    options = ["--cache", "c", "--out", "o", "--config", file]
    assert cli.run(["train", *options, "--lr", "0.001"]) == 0  # equal to the default, and asked for all the same
    (config,) = training_configs
    assert (config.lr, config.min_count) == (1e-3, 10)
    assert (config.epochs, config.warmup, config.dim) == (70, 0.7, 77)


@pytest.mark.parametrize(("corpus", "expected"), [('["a.txt", "b.txt"]', ("a.txt", "b.txt")), ('"a.txt"', ("a.txt",))])
def test_a_toml_file_gives_one_corpus_or_several_and_json(corpus, expected, tmp_path, monkeypatch, capsys):
    configs: list[EncodeConfig] = []
    monkeypatch.setattr("x2static.stage1_encode.encode.encode", lambda config, *_: configs.append(config) or NOTHING)
    monkeypatch.chdir(tmp_path)
    for name in expected:
        Path(name).write_text("A text.")
    file = config_file(tmp_path, f'model = "demo"\ncorpus = {corpus}\ncache = "c"\njson = true\nword-states = false\n')
    figures = run_here(capsys, ["encode", "--config", file]).json
    assert configs[0].corpus == expected
    assert figures.items() >= {"command": "encode", **NOTHING, "seconds": figures["seconds"]}.items()
    assert figures.keys() >= {"version", "seconds"}


FILES = {"learning-rate = 1": "learning_rate", "lr = = 1": "not valid TOML", None: "No such file", "lr = 0": "--lr"}


@pytest.mark.parametrize(("text", "named"), FILES.items())
def test_a_wrong_configuration_file_is_refused_by_name(text, named, tmp_path, capsys):
    file = config_file(tmp_path, text) if text is not None else str(tmp_path / "nowhere.toml")
    assert cli.run(["train", "--config", file, "--cache", "c", "--out", "o"]) == 2
    assert named in capsys.readouterr().err


def test_progress_is_a_plain_line_where_there_is_no_terminal(monkeypatch, capsys):
    with ProgressLine("encode") as report:
        report(Progress(0, 200, "paragraphs"))
        report(Progress(50, 200, "paragraphs", "9 tokens/s"))
    assert capsys.readouterr().err == "encode: 50 of 200 paragraphs (25%), 0 s so far, 0 s left, 9 tokens/s\n"
    with ProgressLine("encode") as report:
        report(Progress(0, None, "paragraphs"))
        report(Progress(5000, None, "paragraphs"))
    assert capsys.readouterr().err == "encode: 5,000 paragraphs, 0 s so far\n"
    monkeypatch.setattr("x2static.pipeline.terminal.SECONDS_BETWEEN_LINES", 0.0)
    with ProgressLine("encode") as report:
        for done in (0, 50, 200):
            report(Progress(done, 200, "paragraphs", about=True))
    assert capsys.readouterr().err.count("200 of about 200") == 1, "the last line is not said twice"


@pytest.mark.parametrize("notebook", [False, True])
def test_progress_on_a_terminal_and_in_a_notebook_is_a_bar(notebook, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: not notebook)
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr("sys.stderr", screen)
    with ProgressLine("encode") as report:
        report(Progress(100, 200, "paragraphs"))
        report(Progress(200, 200, "paragraphs", "9 tokens/s"))
        report(Progress(10, 400, "words"))  # other work has begun
    assert all(shown in screen.getvalue() for shown in ("encode: 100%", "200/200", "9 tokens/s", "10/400"))
    assert "-" not in screen.getvalue(), "no time runs backwards"


@pytest.mark.parametrize(("terminal", "clock"), [(False, "encode: 0 s so far\n"), (True, "encode: 00:00")])
def test_the_clock_goes_on_before_the_first_report_and_between_reports(terminal, clock, monkeypatch):
    screen, written = io.StringIO(), threading.Event()
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    monkeypatch.setattr(screen, "write", lambda text: io.StringIO.write(screen, text) and written.set())
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("x2static.pipeline.terminal.SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("x2static.pipeline.terminal.SECONDS_BETWEEN_TICKS", 0.001)
    with ProgressLine("encode") as report:
        assert written.wait(60)
        report(Progress(50, 200, "paragraphs"))
        for _ in range(3):
            written.clear()
            assert written.wait(60), "the clock says it again"
    assert screen.getvalue().lstrip("\r").startswith(clock)


def test_a_corpus_that_is_not_there_is_told_before_a_teacher_is_looked_for(tmp_path, capsys):
    nowhere = tmp_path / "nowhere.txt"
    encode = ["encode", "--model", "nobody/nothing", "--corpus", nowhere, "--cache", tmp_path / "cache"]
    for arguments in (encode, [*encode, "--plan"]):
        assert run_here(capsys, arguments).err.startswith(f"error: corpus {nowhere}: no such file")


def test_durations_sizes_and_numbers_are_for_people():
    assert [quantity(n, "shard") for n in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]
    assert [duration(seconds) for seconds in (0.4, 59.6, 61, 7265)] == ["0 s", "1 min 00 s", "1 min 01 s", "2 h 01 min"]
    assert [size(n) for n in (5, 1500, 83e9, 2e12)] == ["5 bytes", "1.5 kB", "83.0 GB", "2.0 TB"]


def test_a_plan_is_a_table_of_what_a_run_would_take(monkeypatch, capsys):
    figures = {
        "units": 21,
        "units_left": 20,
        "paragraphs": 165104,
        "paragraphs_counted": False,
        "kept": 0.75,
        "sentences": 400000,
    }
    figures |= {"teacher_tokens": 11_000_000, "tokens_per_second": 17000.4, "seconds": 660.0}
    figures |= {"cache_bytes": 350_000_000, "free_bytes": 81_000_000_000}
    monkeypatch.setattr("x2static.stage1_encode.plan.estimate.estimate", lambda config, pools: figures)
    assert cli.run([*ENCODE.split(), "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "units          21 (20 to do)",
        "paragraphs     about 165,104 (75% of a sample pass the filter)",
    ]
    assert lines[4:] == ["time           11 min 00 s", "cache          350.0 MB, free 81.0 GB"]


def test_info_says_whether_a_cache_is_whole_and_names_missing_shards_in_few_words(tmp_path, capsys):
    cache = make_cache(tmp_path / "cache", shards=22)
    info = partial(run_here, capsys, ["cache", "info", cache, "--json"])
    figures = info().json
    assert info().out.count("\n") == 1, "JSON is alone on stdout"
    assert run_here(capsys, ["cache", "info", cache]).out == info().err
    assert figures["command"] == "cache info"
    assert (figures["shards"], figures["complete"], figures["damaged"]) == (22, True, [])
    for name in [0, 1, 2, 5]:
        shutil.rmtree(cache / "shards" / f"{name:06d}")
    (cache / "shards" / "000021" / "words.arrow").unlink()
    done = info()
    assert "missing     0 to 2, 5, 21\n" in done.err
    assert "not complete (5 to do)" in done.err
    assert "damaged     " in done.err
    assert (done.json["missing"], len(done.json["damaged"])) == ([0, 1, 2, 5, 21], 1)
    for name in range(7, 21, 2):
        shutil.rmtree(cache / "shards" / f"{name:06d}")
    assert "missing     0 to 2, 5, 7, 9, 11, 13, 15, 17 and others\n" in info().err

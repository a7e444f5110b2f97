"""Which options take the URL of a bucket, and that no other takes it for a folder."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.pipeline.ran import run_here
from tests.pipeline.test_paths import COMMANDS, PLACE
from x2static.durable.errors import X2StaticError
from x2static.machine import packages
from x2static.pipeline.cli import cli
from x2static.pipeline.options import Given

TAKE_BUCKETS = {
    *("encode --cache", "train --cache", "train --out", "sweep --cache", "cache info folder", "cache verify folder"),
    *(
        "cache phrases folder",
        "cache masked folder",
        "senses --cache",
        "cache repair folder",
        "evaluate vectors",
        "explore vectors",
        "export vectors",
        "teacher vectors",
    ),
}


def parameters(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Parameter]]:
    """Yield all parameters of a command, and of those below it, with their names: "train --out", "evaluate vectors"."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            inner = command.get_command(context, below)
            assert inner is not None
            yield from parameters(inner, f"{name} {below}".strip())
    for parameter in command.params:
        yield f"{name} {parameter.opts[0]}", parameter


def test_every_path_takes_buckets_or_refuses_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    taking, paths = set(), 0
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name, parameter in parameters(cli):
        kind = parameter.type
        if isinstance(kind, Given) and kind.kind is Path:
            paths += 1
            if kind.bucket is not None:
                taking.add(name)
            for url in ("s3://user:secret@bucket/a", "file:///tmp/a", "https://bucket/a", "s3:/user:secret@bucket/a"):
                with pytest.raises((click.BadParameter, X2StaticError)) as caught:
                    kind.convert(url, parameter, None)
                assert "secret" not in str(caught.value)
    assert taking == TAKE_BUCKETS
    assert paths > len(taking) + 20


@pytest.mark.parametrize("url", ["s3://bucket/a", "file:///tmp/a"])
def test_no_command_makes_a_folder_of_a_url(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for arguments, _ in COMMANDS.values():
        ran = run_here(capsys, [argument.replace(PLACE, url) for argument in arguments])
        assert ran.status in (1, 2)
        assert "unexpected" not in ran.err
    for option in ("--model", "--corpus", "--dictionary", "--ase"):
        others = [part for name in ("--model", "--corpus") if name != option for part in (name, "absent")]
        assert run_here(capsys, ["encode", *others, option, url, "--cache", "new"]).status in (1, 2)
    assert not [path for path in tmp_path.rglob("*") if path.name in ("s3:", "file:")]


def test_without_the_package_of_stores_its_extra_is_named(capsys, monkeypatch):
    original = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "obstore" else original(name))
    ran = run_here(capsys, ["cache", "info", "s3://bucket/cache"])
    assert ran.status == 1
    assert "this needs obstore: " in ran.err and "[s3]" in ran.err

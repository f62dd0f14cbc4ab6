"""Every command that docs/training.md shows is one: its words are parsed, its preset and its overrides are there."""

import re
import shlex

import pytest

from hypersd_app.cli import new_parser
from hypersd_app.settings import ROOT, Settings
from hypersd_app.training.cli import run_train
from hypersd_app.training.evaluation.photo.convert import TARGETS

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def shown():
    """All commands behind `python -m hypersd_app`, of blocks and of the tables' first columns."""
    blocks = "\n".join(re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    lines = re.findall(r"-m hypersd_app (.*)", blocks) + re.findall(r"^\| `(train [^`]*)`", PAGE, re.MULTILINE)
    lines += re.findall(r"`python -m hypersd_app ([^`\n]*)`", PAGE)
    return [words for line in lines if (words := shlex.split(line, comments=True)) and words != ["…"] and "--help" not in words]


@pytest.mark.parametrize("words", shown(), ids=" ".join)
def test_the_command_is_one(words, tmp_path, capsys):
    args = new_parser(words).parse_args(words)
    if words[0] == "train":
        args.dry_run, args.memory = True, None
        if args.images is not None and args.teacher is None:
            args.images = tmp_path  # a folder of the reader's own
        assert run_train(args, Settings(runs=tmp_path)) == 0 and capsys.readouterr().out
    elif words[:2] == ["evaluate", "convert"]:
        assert args.weights in TARGETS


def test_the_way_to_an_accelerator_is_there():
    stages = {tuple(words[:2]) for words in shown()}
    assert {("train", "shards"), ("train", "student"), ("evaluate", "convert"), ("evaluate", "photo")} <= stages

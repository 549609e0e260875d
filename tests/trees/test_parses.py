"""Trees from files of parses."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestree.errors import UserError
from nestree.trees.parses import from_heads, from_labelled_brackets, read_brackets, read_conllu

CONLLU = """\
# text = the cat sat down
1\tthe\tthe\tDET\t_\t_\t2\tdet\t_\t_
2\tcat\tcat\tNOUN\t_\t_\t3\tnsubj\t_\t_
3\tsat\tsit\tVERB\t_\t_\t0\troot\t_\t_
4\tdown\tdown\tADV\t_\t_\t3\tadvmod\t_\t_

1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tdo\tdo\tAUX\t_\t_\t0\troot\t_\t_
2\tn't\tnot\tPART\t_\t_\t1\tadvmod\t_\t_
2.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_
"""


@pytest.mark.parametrize(
    ("text", "binary"),
    [
        ("(S (NP (DT the) (NN cat)) (VP sat))", "((the cat) sat)"),
        ("(ROOT (S (NP a b c) (VP d)))", "(((a b) c) d)"),
        ("(X one)", "one"),
        ("(A (B (C x)) (D y z))", "(x (y z))"),
    ],
)
def test_labelled_brackets(text: str, binary: str) -> None:
    parse = from_labelled_brackets(text)
    assert parse.tree.brackets(parse.words) == binary


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(S a", "1 '\\)' missing"),
        ("(S a))", "part 5, '\\)', closes nothing"),
        ("(S (NP ) a)", "are empty"),
        ("(S a) (S b)", "one tree, not 2"),
    ],
)
def test_damaged_brackets_say_where(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_labelled_brackets(text)


@pytest.mark.parametrize(
    ("heads", "binary"),
    [
        ([2, 3, 0, 3], "((1 2) (3 4))"),
        ([0], "1"),
        ([2, 0, 2, 2], "(1 ((2 3) 4))"),
        ([3, 3, 0], "(1 (2 3))"),
        ([0, 1, 2], "(1 (2 3))"),
    ],
)
def test_heads(heads: list[int], binary: str) -> None:
    tree = from_heads(heads)
    assert tree.brackets([str(word + 1) for word in range(len(heads))]) == binary


@pytest.mark.parametrize(
    ("heads", "says"),
    [([0, 0], "one 0"), ([2, 1, 0], "cycle"), ([3, 4, 0, 3], "cross"), ([0, 5], "from 0 to 2")],
)
def test_impossible_heads_are_named(heads: list[int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_heads(heads)


def test_conllu_files(tmp_path: Path) -> None:
    path = tmp_path / "some.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    found = [parse.tree.brackets(parse.words) for parse in read_conllu(path)]
    assert found == ["((the cat) (sat down))", "(do n't)"]
    path.write_text(CONLLU.replace("\t2\tdet", "\t_\tdet"), encoding="utf-8")
    with pytest.raises(UserError, match=r"some\.conllu, line 2"):
        list(read_conllu(path))
    path.write_text(CONLLU.replace("\t0\troot\t_\t_\n4", "\t4\troot\t_\t_\n4"), encoding="utf-8")
    with pytest.raises(UserError, match="ending at line 6: heads"):
        list(read_conllu(path))


def test_bracket_files(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("(S (NP a b) c)\n\n(X d)\n", encoding="utf-8")
    assert [parse.tree.brackets(parse.words) for parse in read_brackets(path)] == ["((a b) c)", "d"]
    path.write_text("((a b) c)\n(a\n", encoding="utf-8")
    parses = read_brackets(path, labelled=False)
    assert next(parses).words == ("a", "b", "c")
    with pytest.raises(UserError, match="line 2"):
        next(parses)
    with pytest.raises(UserError, match="cannot be read"):
        list(read_conllu(tmp_path / "missing"))

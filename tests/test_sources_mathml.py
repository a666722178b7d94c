"""Presentation MathML as LaTeX: every arrangement, what is broken, and what hostile formulas cost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.sources.mathml import latex_of

FORMULAS = {
    "<mfrac><mn>1</mn><mn>2</mn></mfrac>": r"\frac{1}{2}",
    "<msup><mi>x</mi><mn>2</mn></msup><msub><mi>a</mi><mi>i</mi></msub>": "x^{2}a_{i}",
    "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup><msup><mi>f</mi><mo>′</mo></msup>": "x_{i}^{2}f'",
    "<msup><mrow><mo>(</mo><mi>x</mi><mo>)</mo></mrow><mn>2</mn></msup>": "{(x)}^{2}",
    "<msqrt><mn>3</mn></msqrt><mroot><mi>x</mi><mn>3</mn></mroot>": r"\sqrt{3}\sqrt[3]{x}",
    "<mi>&alpha;</mi><mi>x</mi><mo>&#x2264;</mo><mi>Ω</mi>": r"\alpha x\leq\Omega",
    "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>": r"\sum_{i=1}^{n}i",
    "<munder><mi>lim</mi><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder><mi>sin</mi><mo>&#x2061;</mo><mi>x</mi>":
        r"\lim_{x\to0}\sin x",
    "<mover><mi>x</mi><mo>¯</mo></mover><mover accent='true'><mi>v</mi><mo>→</mo></mover>": r"\overline{x}\vec{v}",
    "<mover><mo>=</mo><mtext>def</mtext></mover>": r"\overset{\text{def}}{=}",
    "<mfenced><mi>a</mi><mi>b</mi></mfenced><mfenced open='{' close='' separators=''><mi>c</mi></mfenced>":
        r"\left(a,b\right)\left\{c\right.",
    "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd><mtd><mn>4</mn></mtd></mtr></mtable>":
        r"\begin{matrix}1 & 2 \\ 3 & 4\end{matrix}",
    "<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>": r"\binom{n}{k}",
    "<mmultiscripts><mi>C</mi><mn>6</mn><none/><mprescripts/><none/><mn>14</mn></mmultiscripts>": "{}^{14}C_{6}",
    "<mi mathvariant='bold'>v</mi><mi>rank</mi><mtext> if 50% </mtext><mo>{</mo>": r"\mathbf{v}\mathrm{rank}\text{ if 50\% }\{",
    "<mn>1</mn><mspace width='1em'/><mphantom><mn>9</mn></mphantom><mn>2</mn>": r"1\ 2",
    "<m:mfrac><m:mn>1</m:mn><m:mn>2</m:mn></m:mfrac><!-- no -->": r"\frac{1}{2}",
    "<mfrac><mn>1</mn></mfrac><mrow><mi>x": "1x",
    "</mfrac><mi>x</mi></mrow> &lt; y": "x< y",
}  # fmt: skip


@pytest.mark.parametrize(("markup", "latex"), FORMULAS.items(), ids=range(len(FORMULAS)))
def test_a_formula_becomes_latex_that_says_the_same(markup: str, latex: str) -> None:
    assert latex_of(f"<math>{markup}") == latex


TAGS = st.sampled_from([
    "<mfrac>", "</mfrac>", "<mrow>", "</mrow>", "<msup>", "</msup>", "<mi>", "</mi>", "Q", "<mtable>", "<mtr>", "<mtd>", "</mtr>",
    "<mmultiscripts>", "<mprescripts/>", "<none/>", "<mfenced open='", "'>", "<", ">", '"', "<!--", "-->", "&amp;", "</math", "{",
])  # fmt: skip


@given(markup=st.lists(TAGS, max_size=40).map("".join))
def test_any_markup_is_some_latex(markup: str) -> None:
    latex = latex_of("<math>" + markup)
    assert latex == latex_of("<math>" + markup)
    assert latex.count("Q") <= markup.count("Q")  # a letter that no command has


@pytest.mark.parametrize(
    "unit", ["<mrow>", "<mfrac><mi>x</mi>", "<!--", '<mi a="', "<mi a='b\"", "</mi>", "<", "<msup><mi>a</mi>b"]
)
def test_hostile_formulas_cost_no_more_than_they_hold(unit: str) -> None:
    began = time.process_time()
    latex_of("<math>" + unit * 20_000)
    assert time.process_time() - began < 5

"""Presentation MathML as LaTeX: what a formula shows, where its page has no LaTeX of it.

One pass over the tags with a stack of bounded depth; what is not known is taken for a row of what it holds. Names of elements are
those of MathML Core (https://www.w3.org/TR/mathml-core/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

DEEPEST = 64
"""Elements inside one another that are told apart."""
_MARK = re.compile(r"<!--.*?(?:-->|\Z)|<(/?)(?:[a-z]+:)?([a-z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)>|([^<]+)|<", re.DOTALL | re.IGNORECASE)  # fmt: skip # noqa: E501
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_LAST_COMMAND = re.compile(r"\\[a-zA-Z]+$")
_DROPPED = frozenset(("annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark"))
_TOKENS = frozenset(("mi", "mn", "mo", "mtext", "ms"))
_ESCAPED = str.maketrans({letter: f"\\{letter}" for letter in "{}%&#$_"} | {"\\": "\\backslash ", "~": "\\sim "})
_IN_TEXT = str.maketrans({letter: f"\\{letter}" for letter in "{}%&#$_"})
_NAMED = """
α alpha β beta γ gamma δ delta ε varepsilon ϵ epsilon ζ zeta η eta θ theta ϑ vartheta ι iota κ kappa λ lambda μ mu µ mu ν nu ξ
xi π pi ϖ varpi ρ rho ϱ varrho σ sigma ς varsigma τ tau υ upsilon φ varphi ϕ phi χ chi ψ psi ω omega Γ Gamma Δ Delta Θ Theta Λ
Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega ∑ sum ∏ prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint ⋃ bigcup ⋂ bigcap ⨁
bigoplus ⨂ bigotimes ⋁ bigvee ⋀ bigwedge × times ÷ div · cdot ⋅ cdot ∗ ast ⋆ star ∘ circ • bullet ± pm ∓ mp ∩ cap ∪ cup ⊎
uplus ∧ wedge ∨ vee ⊕ oplus ⊖ ominus ⊗ otimes ⊙ odot ∖ setminus † dagger ‡ ddagger ≤ leq ≥ geq ≦ leqq ≧ geqq ⩽ leqslant ⩾
geqslant ≪ ll ≫ gg ≠ neq ≡ equiv ≈ approx ≅ cong ≃ simeq ∼ sim ≺ prec ≻ succ ∝ propto ⊂ subset ⊃ supset ⊆ subseteq ⊇ supseteq
∈ in ∉ notin ∋ ni ⊢ vdash ⊨ models ⊥ perp ∥ parallel ∣ mid ∤ nmid ≜ triangleq ≐ doteq ∀ forall ∃ exists ∄ nexists ¬ neg ∅
emptyset ∞ infty ∂ partial ∇ nabla ℏ hbar ℓ ell ℜ Re ℑ Im ℵ aleph √ surd ∠ angle △ triangle □ square ⊤ top ∴ therefore ∵
because ← leftarrow → to ↔ leftrightarrow ⇐ Leftarrow ⇒ Rightarrow ⇔ Leftrightarrow ⟶ longrightarrow ⟵ longleftarrow ⟹
Longrightarrow ⟺ iff ↦ mapsto ⟼ longmapsto ↑ uparrow ↓ downarrow ↪ hookrightarrow ⇌ rightleftharpoons … ldots ⋯ cdots ⋮ vdots
⋱ ddots ⟨ langle ⟩ rangle 〈 langle 〉 rangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil ‖ Vert ℝ mathbb{R} ℂ mathbb{C} ℕ mathbb{N} ℤ
mathbb{Z} ℚ mathbb{Q} ℙ mathbb{P}
"""
"""Letters and operators with the names of their commands."""
_COMMANDS = {letter: f"\\{name}" for letter, name in zip(_NAMED.split()[::2], _NAMED.split()[1::2], strict=True)}
_COMMANDS |= {
    "−": "-",
    "′": "'",
    "″": "''",
    "∶": ":",
    "⁡": "",
    "⁢": "",
    "⁣": "",
    "⁤": "",
    "\u200b": "",
    "ⅆ": "d",
    "ⅇ": "e",
    "ⅈ": "i",
}
_FUNCTION_NAMES = """
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min Pr sec sin sinh
sup tan tanh
"""
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_OVER = {
    "¯": "overline", "‾": "overline", "―": "overline", "_": "overline", "^": "hat", "ˆ": "hat", "\\sim": "tilde", "˜": "tilde",
    "\\to": "vec", "⃗": "vec", "˙": "dot", ".": "dot", "¨": "ddot", "ˇ": "check", "˘": "breve", "⏞": "overbrace",
}  # fmt: skip
_UNDER = {"\\_": "underline", "_": "underline", "¯": "underline", "̲": "underline", "⏟": "underbrace", "‾": "underline"}
_LIMIT_NAMES = """
sum prod coprod bigcup bigcap bigoplus bigotimes bigvee bigwedge int iint iiint oint lim liminf limsup max min sup inf det gcd Pr
"""
_LIMITS = frozenset(f"\\{name}" for name in _LIMIT_NAMES.split())
"""What has its scripts above and below itself."""
_VARIANTS = {
    "bold": "mathbf",
    "double-struck": "mathbb",
    "script": "mathcal",
    "fraktur": "mathfrak",
    "bold-italic": "boldsymbol",
}


@dataclass(slots=True)
class _Open:
    name: str
    attributes: str
    parts: list[str] = field(default_factory=list)


def latex_of(markup: str) -> str:
    """The formula that begins with ``<math``; what is not closed ends with it."""
    stack = [_Open("", "")]
    deeper = 0  # open elements that are not told apart
    for mark in _MARK.finditer(markup):
        slash, name, attributes, text = mark.groups()
        if text is not None:
            if not text.isspace():
                stack[-1].parts.append(_words(text, stack[-1].name))
            continue
        if name is None:
            continue
        name = name.lower()
        if slash:
            if deeper:
                deeper -= 1
            elif any(one.name == name for one in stack):
                while stack[-1].name != name:
                    _close(stack)
                _close(stack)
        elif attributes.endswith("/"):
            stack[-1].parts.append(_element(_Open(name, attributes)))
        elif len(stack) > DEEPEST:
            deeper += 1
        else:
            stack.append(_Open(name, attributes))
    while len(stack) > 1:
        _close(stack)
    return _row(stack[0].parts)


def _close(stack: list[_Open]) -> None:
    ended = stack.pop()
    stack[-1].parts.append(_element(ended))


def _words(text: str, element: str) -> str:
    """A text as it stands in an element, in one line."""
    text = " ".join(unescape(text).split()) if element not in ("mtext", "ms") else re.sub(r"\s+", " ", unescape(text))
    return text if element in _TOKENS else text.translate(_ESCAPED)


def _row(parts: list[str]) -> str:
    """Parts side by side; a command and the letter behind it are kept apart."""
    out: list[str] = []
    for part in parts:
        if part and out and part[0].isalpha() and _LAST_COMMAND.search(out[-1]):
            out.append(" ")
        if part:
            out.append(part)
    return "".join(out)


def _element(one: _Open) -> str:
    """An element as LaTeX, of its parts, which are LaTeX."""
    name, parts = one.name, one.parts
    if name in _DROPPED:
        return ""
    if name in _TOKENS:
        return _token(name, "".join(parts), one.attributes)
    if name == "mspace":
        return "\\ "
    if name in ("msqrt", "mtd", "mfenced"):
        inside = _row(parts)
        return inside if name == "mtd" else f"\\sqrt{{{inside}}}" if name == "msqrt" else _fenced(one)
    if name == "mtr":
        return " & ".join(parts)
    if name == "mtable":
        rows = " \\\\ ".join(parts)
        return f"\\begin{{matrix}}{rows}\\end{{matrix}}"
    if name == "mmultiscripts" and parts:
        return _multiscripts(parts)
    if name in ("none", "mprescripts"):
        return name if name == "mprescripts" else ""
    needed = {"mfrac": 2, "msup": 2, "msub": 2, "mroot": 2, "mover": 2, "munder": 2, "msubsup": 3, "munderover": 3}
    if len(parts) != needed.get(name, -1):
        return _row(parts)
    return _arranged(name, parts, one.attributes)


def _arranged(name: str, parts: list[str], attributes: str) -> str:
    """A fraction, a root, or scripts, of as many parts as it has."""
    base, first, last = parts[0], parts[1], parts[-1]
    match name:
        case "mfrac":
            thickness = _attribute(attributes, "linethickness") or ""
            command = "binom" if re.fullmatch(r"0\D*", thickness) else "frac"
            return f"\\{command}{{{base}}}{{{first}}}"
        case "mroot":
            return f"\\sqrt[{first}]{{{base}}}"
        case "msup":
            return f"{_base(base)}{_raised(first)}"
        case "msub":
            return f"{_base(base)}_{{{first}}}"
        case "msubsup":
            return f"{_base(base)}_{{{first}}}{_raised(last)}"
        case "munderover" if base in _LIMITS:
            return f"{base}_{{{first}}}^{{{last}}}"
        case "munderover":
            return _over(_under(base, first), last)
        case "munder":
            return _under(base, first)
        case _:
            return _over(base, first)


def _raised(script: str) -> str:
    return script if script and not script.strip("'") else f"^{{{script}}}"


def _under(base: str, script: str) -> str:
    if base in _LIMITS:
        return f"{base}_{{{script}}}"
    return f"\\{_UNDER[script]}{{{base}}}" if script in _UNDER else f"\\underset{{{script}}}{{{base}}}"


def _over(base: str, script: str) -> str:
    if base in _LIMITS:
        return f"{base}^{{{script}}}"
    return f"\\{_OVER[script]}{{{base}}}" if script in _OVER else f"\\overset{{{script}}}{{{base}}}"


def _base(latex: str) -> str:
    """What scripts stand at: braces around all that is more than a letter, a number, a command or a group."""
    simple = len(latex) == 1 or latex.isalnum() or re.fullmatch(r"\\[a-zA-Z]+(?:\{[^{}]*\})?|\\[^a-zA-Z]", latex)
    return latex if simple else f"{{{latex}}}"


def _multiscripts(parts: list[str]) -> str:
    base, *scripts = parts
    at = scripts.index("mprescripts") if "mprescripts" in scripts else len(scripts)
    behind, before = scripts[:at], scripts[at + 1 :]

    def both(scripts: list[str]) -> str:
        signs = ("_", "^")
        return "".join(f"{signs[n % 2]}{{{script}}}" for n, script in enumerate(scripts) if script)

    return f"{'{}' + both(before) if any(before) else ''}{_base(base)}{both(behind)}"


def _fenced(one: _Open) -> str:
    found = {name: _attribute(one.attributes, name) for name in ("open", "close", "separators")}
    opened, closed = (
        ("(" if found["open"] is None else found["open"]),
        (")" if found["close"] is None else found["close"]),
    )
    marks = "".join((found["separators"] if found["separators"] is not None else ",").split())
    out: list[str] = []
    for n, part in enumerate(one.parts):
        if n and marks:
            out.append(_operator(marks[min(n - 1, len(marks) - 1)]))
        out.append(part)
    left, right = (_operator(fence.strip()) or "." for fence in (opened, closed))
    return _row([f"\\left{left}", *out, f"\\right{right}"])


def _token(name: str, text: str, attributes: str) -> str:
    if name in ("mtext", "ms"):
        return f"\\text{{{text.translate(_IN_TEXT)}}}" if text.strip() else "\\ " if text else ""
    if name == "mn":
        return text.translate(_ESCAPED)
    if name == "mo" or text in _COMMANDS:
        latex = _operator(text)
    elif len(text) > 1 and text in _FUNCTIONS:
        return f"\\{text}"
    elif len(text) > 1 and text.isalpha():
        latex = f"\\mathrm{{{text}}}"
    else:
        latex = text.translate(_ESCAPED)
    variant = _VARIANTS.get(_attribute(attributes, "mathvariant") or "") if name == "mi" else None
    return f"\\{variant}{{{text if text.isascii() else latex}}}" if variant and text else latex


def _operator(text: str) -> str:
    if text in _FUNCTIONS and len(text) > 1:
        return f"\\{text}"
    known = _COMMANDS.get(text)
    if known is not None:
        return known
    if len(text) > 1 and text.isalpha():
        return f"\\operatorname{{{text}}}"
    return "".join(_COMMANDS.get(letter, letter.translate(_ESCAPED)) for letter in text).strip()


def _attribute(attributes: str, name: str) -> str | None:
    for found in _ATTRIBUTE.finditer(attributes):
        if found[1].lower() == name:
            return unescape(found[2] if found[2] is not None else found[3])
    return None

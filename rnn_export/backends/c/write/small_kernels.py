"""The kernels that read smaller weights: those of ``kernels.c`` that read floats, in other words.

    const vec column = load(w + i);          ->    const vec column = load_int8(w + i);
    sum = fused(column, x, sum)                    sum = fused(column, x, sum)
    store(y, load(b) + sum)                        store(y, fused(sum, load(scale), load(b)))

So there is one text of each kernel, and what is done to it for floats is done for all. The sums are those of
the numbers without their scales, in the same order: a scale belongs to a column, and multiplies the sum at
its end.

Products read words, which hold the numbers of several rows of a column: what adds them up is written by hand
in ``small_kernels.c``, for all formats or for one. Others find their places as before, in words.
"""

import re
from collections.abc import Iterator, Mapping

from rnn_export.backends.c.write.literals import WORD
from rnn_export.backends.c.write.pack import C_OF, IN_WORD
from rnn_export.program.small_weights import BF16, INT8

FUNCTION = re.compile(r"^INLINE \w+ (\w+)\(", re.MULTILINE)
AFFINE = r"(void affine\([^{]*{\n)"
WHOLE = {INT8: "whole_int8"}  # the formats that have products of whole numbers, and what makes these
# Of all formats: which text becomes which, `{type}` and `{kind}` those of the format.
READ = (
    (r"const float \*w\b", r"const {type} *w"),
    (r"\bload\(w ", r"load_{kind}(w "),
    (r"\* k\b", r"* WORDS_{kind}(k)"),
    (r"    if \(rows == 1 && parts == 1\)[^;]*(;[^;]*){4};\n", ""),  # one panel at once is faster
)
# Of those with scales.
SCALED = (
    (r"(const \w+ \*w), const float \*b\b", r"\1, const float *scale, const float *b"),
    (r"\bb \? b \+ (.+?) : b\b", r"scale + \1, b ? b + \1 : b"),
    (r"\bw, b\b", r"w, scale, b"),
    (r"\bload\((.*)\) \+ (sum\[r\]\[v\])\)", r"fused(\2, load(scale + at), load(\1)))"),
    (r"\bb\[column\] \+ total", r"b[column] + scale[column] * total"),
)
# Of those with products of whole numbers: what a kernel for all columns begins with.
WHOLE_FIRST = r"""\1#ifdef WHOLE_{kind}
    if (k >= LEAST) {
        affine_whole_{kind}(rows, k, n, x, x_step, w, scale, b, y, y_step);
        return;
    }
#endif
"""


def for_small_weights(name: str, sections: Mapping[str, str], needs: dict[str, list[str]]) -> dict[str, str]:
    """Give the sections that ``product_int8``, say, needs and ``kernels.c`` does not have; add their needs.

    Those for floats stay out unless something else needs them.
    """
    plain, kind = name.rsplit("_", 1)
    readers = [section for section, text in sections.items() if "const float *w" in text]
    wanted = [plain]
    for section in wanted:
        wanted += [other for other in needs[section] if other in readers and other not in wanted]
    functions = {function for section in readers for function in FUNCTION.findall(sections[section])}
    for section in wanted:
        own = [kind, *([WHOLE[kind]] if section == "product" and kind in WHOLE else [])]
        needs[f"{section}_{kind}"] = [*own, *(f"{o}_{kind}" if o in wanted else o for o in needs[section])]
    order = [section for section in sections if section in wanted]
    return {f"{section}_{kind}": "".join(_written(section, sections, functions, kind)) for section in order}


def _written(section: str, sections: Mapping[str, str], functions: set[str], kind: str) -> Iterator[str]:
    """Write the functions of a section for a format."""
    assert kind in (INT8, BF16)
    by_hand = sections.get(f"{section}_small")
    yield _rewritten(sections[section], functions, kind) if by_hand is None else _filled(by_hand, kind)


def _filled(text: str, kind: str) -> str:
    """Write what stands by hand for all formats for one of them."""
    return re.sub(r"_small\b", f"_{kind}", text).replace("PER_WORD", str(IN_WORD[kind]))


def _rewritten(text: str, functions: set[str], kind: str) -> str:
    """Write functions that read floats for another format."""
    read = C_OF[kind] if "load(w " in text else WORD
    whole = [(AFFINE, WHOLE_FIRST)] if kind in WHOLE else []
    for pattern, new in (*READ, *(SCALED if kind == INT8 else ()), *whole):
        text = re.sub(pattern, new.replace("{type}", read).replace("{kind}", kind), text)
    return re.sub(rf"\b({'|'.join(sorted(functions))})(?=[(,])", rf"\1_{kind}", text)

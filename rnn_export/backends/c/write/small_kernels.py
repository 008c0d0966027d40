"""The kernels that read smaller weights: those of ``kernels.c`` that read floats, in other words.

    const vec column = load(w + i);          ->    const vec column = load_int8(w + i);
    sum = fused(column, x, sum)                    sum = fused(column, x, sum)
    store(y, load(b) + sum)                        store(y, fused(sum, load(scale), load(b)))

So there is one text of each kernel, and what is done to it for floats is done for all. The sums are those of
the numbers without their scales, in the same order: a scale belongs to a column, and multiplies the sum at
its end.
"""

import re
from collections.abc import Iterator, Mapping

from rnn_export.backends.c.write.pack import C_OF
from rnn_export.program.small_weights import BF16, INT8

FUNCTION = re.compile(r"^INLINE \w+ (\w+)\(", re.MULTILINE)
# Of all formats: which text becomes which, `{type}` and `{kind}` those of the format.
READ = (
    (r"const float \*w\b", r"const {type} *w"),
    (r"\bload\(w ", r"load_{kind}(w "),
)
# Of those with scales.
SCALED = (
    (r"(const \w+ \*w), const float \*b\b", r"\1, const float *scale, const float *b"),
    (r"\bb \? b \+ (.+?) : b\b", r"scale + \1, b ? b + \1 : b"),
    (r"\bw, b\b", r"w, scale, b"),
    (r"\bload\((.*)\) \+ (sum\[r\]\[v\])\)", r"fused(\2, load(scale + at), load(\1)))"),
    (r"\bb\[column\] \+ total", r"b[column] + scale[column] * total"),
)


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
        needs[f"{section}_{kind}"] = [kind, *(f"{o}_{kind}" if o in wanted else o for o in needs[section])]
    order = [section for section in sections if section in wanted]
    return {f"{section}_{kind}": "".join(_rewritten(sections[section], functions, kind)) for section in order}


def _rewritten(text: str, functions: set[str], kind: str) -> Iterator[str]:
    """Write the functions of a section for another format."""
    assert kind in (INT8, BF16)
    for pattern, new in (*READ, *(SCALED if kind == INT8 else ())):
        text = re.sub(pattern, new.replace("{type}", C_OF[kind]).replace("{kind}", kind), text)
    yield re.sub(rf"\b({'|'.join(sorted(functions))})(?=[(,])", rf"\1_{kind}", text)

"""What is measured: a cell is one workload with one number of threads."""
import dataclasses
import re

STREAMS_MAX = 64
# The streams of a batched decode have this many tokens before those that are generated.
STREAMS_CONTEXT = 32

DEFAULT_CELLS = (
    [f"prefill:{n}" for n in (128, 512, 2048, 8192)]
    + [f"decode:{n}" for n in (0, 2048, 4096)]
    + [f"decode:{STREAMS_CONTEXT}x{n}" for n in (2, 4, 8, 16, 32)]
    + ["load"])

SPEC = re.compile(r"prefill:(?P<tokens>\d+)|decode:(?P<context>\d+)(x(?P<streams>\d+))?|load")


@dataclasses.dataclass(frozen=True)
class Cell:
    """spec: `prefill:TOKENS`, `decode:CONTEXT`, `decode:CONTEXTxSTREAMS` or `load`."""
    spec: str
    kind: str
    tokens: int = 0    # of the prompt that prefill evaluates
    context: int = 0   # tokens before those that are generated
    streams: int = 1

    def label(self):
        if self.kind == "prefill":
            return f"prefill {self.tokens}"
        if self.kind == "load":
            return "start to first token"
        at = f"decode at {self.context}"
        return at if self.streams == 1 else f"{at}, {self.streams} streams"


def parse_cell(spec):
    """Raises ValueError, which says what is accepted."""
    found = SPEC.fullmatch(spec)
    if not found:
        raise ValueError(f"there is no cell '{spec}'; accepted: prefill:TOKENS, decode:CONTEXT, "
                         "decode:CONTEXTxSTREAMS, load")
    kind = spec.partition(":")[0]
    cell = Cell(spec, kind, *(int(found[name] or default) for name, default in
                              (("tokens", 0), ("context", 0), ("streams", 1))))
    if kind == "prefill" and cell.tokens == 0:
        raise ValueError("prefill:0 is no cell: a prompt has at least one token")
    if not 1 <= cell.streams <= STREAMS_MAX:
        raise ValueError(f"'{spec}': streams are 1 to {STREAMS_MAX}")
    return cell

"""Coverage-guided damage to files: Atheris leads a reader to code that no input has reached yet.

    pip install atheris
    python benchmarks/fuzz_atheris.py --reader roi --seconds 600

For one reader of `fuzz.py`. Atheris changes the bytes of small right files, watches which lines of
``mito_instance`` (and of the ``--instrument`` packages) each input reaches, and goes on from those
that reach new ones. It ends after the given seconds or inputs, or at the first input that is
answered neither by one of our errors nor read, which it keeps in the folder of ``--crashers``.
Atheris has builds for some Pythons on Linux and macOS only, hence is no dependency.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

MAX_BYTES = 16 * 1024


def main() -> int:
    """Lead one reader astray."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reader", default="roi", help="a name of tests/fuzz/readers.py")
    parser.add_argument("--seconds", type=int, default=60, help="at most")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory-mib", type=int, default=3072)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz_corpus"))
    parser.add_argument("--crashers", type=Path, default=Path("fuzz_crashers"))
    parser.add_argument("--instrument", nargs="*", default=[], help="more packages to watch")
    args = parser.parse_args()
    try:
        import atheris
    except ImportError:
        print("error: atheris is not installed; run: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["mito_instance", *args.instrument]):
        from mito_instance.errors import MitoInstanceError
        from tests.fuzz.readers import READERS

        reader = next((one for one in READERS if one.name == args.reader), None)
        if reader is None:
            names = ", ".join(one.name for one in READERS)
            print(f"error: --reader must be one of {names}, got {args.reader}", file=sys.stderr)
            return 2
        corpus = args.corpus / reader.name
        corpus.mkdir(parents=True, exist_ok=True)
        path = args.corpus / f"input_of_{reader.name}{reader.suffix}"
        for number, seed in enumerate(reader.seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
            path.write_bytes(seed)
            reader.read(path)  # imports what it needs, where it is watched

    def try_one(data: bytes) -> None:
        path.write_bytes(data)
        with warnings.catch_warnings(), contextlib.suppress(MitoInstanceError):
            warnings.simplefilter("error", RuntimeWarning)
            reader.read(path)

    args.crashers.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": args.seconds,
        "runs": args.inputs,
        "seed": args.seed,
        "max_len": MAX_BYTES,
        "rss_limit_mb": args.memory_mib,
        "timeout": 20,
        "artifact_prefix": f"{args.crashers}/{reader.name}-atheris-",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{k}={v}" for k, v in options.items()), str(corpus)], try_one)
    atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Damaged files into every reader, as many as wanted; prints one JSON line a reader.

    python benchmarks/fuzz.py --inputs 100000 --seed 1
    python benchmarks/fuzz.py --readers png tiff --seconds 600

Each reader runs in a process of its own with a limit of memory above what it starts with and a
limit of time an input, so that crashes of decoders, hunger for memory and endless loops are found
like exceptions. An input that is not answered by one of our errors, or read, is a crasher; it is
kept with the exception in the folder of ``--crashers``. The same seed makes the same inputs.
Ends with 1 if there was a crasher.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.fuzz.readers import READERS, Reader  # noqa: E402 - the tests are no package

MAX_SECONDS_AN_INPUT = 20
"""Of processor time, which other work on the machine does not stretch."""
MAX_CRASHERS = 50
TIMEOUT_STATUS = 3


def main() -> int:
    """Run all readers, or be the process of one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [reader.name for reader in READERS]
    parser.add_argument("--readers", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--inputs", type=int, default=10_000, help="for each reader")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most, for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-mib", type=int, default=3072)
    parser.add_argument("--crashers", type=Path, default=Path("fuzz_crashers"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    readers = [reader for reader in READERS if reader.name in args.readers]
    if args.worker is not None:
        return _work(readers[0], args)
    n_crashers = 0
    for reader in readers:
        n_crashers += _supervise(reader, args)
    return 1 if n_crashers else 0


def _supervise(reader: Reader, args: argparse.Namespace) -> int:
    """Run the process of a reader, again after each crash; number of crashers."""
    start, first, crashers = time.monotonic(), 0, []
    shared = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=shared) as name:
        folder = Path(name)
        while first < args.inputs and len(crashers) < MAX_CRASHERS:
            seconds = args.seconds - (time.monotonic() - start)
            if seconds <= 0:
                break
            command = [sys.executable, __file__, "--readers", reader.name, "--worker", name]
            command += ["--first", str(first), "--inputs", str(args.inputs)]
            command += ["--seed", str(args.seed), "--seconds", str(seconds)]
            command += ["--memory-mib", str(args.memory_mib)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            try:
                first = int((folder / "number").read_text()) + 1
            except (OSError, ValueError):
                raise SystemExit(f"{reader.name}: cannot start\n{done.stderr}") from None
            if done.returncode == 0:
                break
            reason = done.stderr.strip() or f"process ended with {done.returncode}"
            if done.returncode == TIMEOUT_STATUS:
                reason = f"more than {MAX_SECONDS_AN_INPUT} s\n{reason}"
            crashers.append(reason.splitlines()[-1])
            kept = args.crashers / f"{reader.name}-{args.seed}-{first - 1}{reader.suffix}"
            args.crashers.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / f"input{reader.suffix}", kept)
            kept.with_suffix(f"{reader.suffix}.txt").write_text(reason + "\n")
    seconds = time.monotonic() - start
    result = {
        "reader": reader.name,
        "inputs": first,
        "crashers": len(crashers),
        "seconds": round(seconds, 1),
        "inputs_a_second": round(first / seconds),
        "seed": args.seed,
        "reasons": sorted(set(crashers))[:10],
    }
    print(json.dumps(result), flush=True)
    return len(crashers)


def _work(reader: Reader, args: argparse.Namespace) -> int:
    """Try inputs until one crashes."""
    seeds = reader.seeds()
    path = args.worker / f"input{reader.suffix}"
    path.write_bytes(seeds[0])
    reader.read(path)  # imports what it needs, before memory is limited
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGESIZE") + args.memory_mib * 1024**2
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, _on_timeout)
    number_file = os.open(args.worker / "number", os.O_WRONLY | os.O_CREAT)
    end = time.monotonic() + args.seconds
    for number in range(args.first, args.inputs):
        os.pwrite(number_file, f"{number:012d}".encode(), 0)
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS_AN_INPUT)
        try:
            reader.try_one(seeds, f"{args.seed} {reader.name} {number}", path)
        except BaseException:
            signal.setitimer(signal.ITIMER_PROF, 0)
            traceback.print_exc()
            return 1
        if number % 64 == 0 and time.monotonic() > end:
            break
    signal.setitimer(signal.ITIMER_PROF, 0)
    return 0


def _on_timeout(_signal: int, frame: FrameType | None) -> None:
    traceback.print_stack(frame)
    sys.stderr.flush()
    os._exit(TIMEOUT_STATUS)


if __name__ == "__main__":
    raise SystemExit(main())

"""A warm process that runs Spinlock's commands in forks of itself, each with its own fault.

Reads one request a line, as JSON, and answers with the status of the fork. Run with ``faults.so`` preloaded.
"""

import ctypes
import gc
import json
import os
import resource
import signal
import sys
from pathlib import Path


def main() -> None:
    import torch

    torch.set_num_threads(1)
    from spinlock.cli.program import run

    first = Path(sys.argv[1])
    run(["generate", "--quiet", "--config", str(first), "--output", str(first.with_suffix(".h5"))])
    run(["extract-features", "--quiet", "--dataset", str(first.with_suffix(".h5"))])
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            _serve(request)
        _, status = os.waitpid(pid, 0)
        os.write(answers, (json.dumps({"pid": pid, "status": status}) + "\n").encode())


def _serve(request: dict) -> None:
    os.setsid()
    for descriptor, name in ((1, "out"), (2, "err")):
        opened = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request["largest_file"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
    library = ctypes.CDLL(None)
    if request["page"] and library.faults_begin(*(request[k].encode() for k in ("page", "below", "log"))):
        os._exit(97)
    from spinlock.cli.program import run

    code = run(request["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    library.exit(code)  # as a process ends for C: HDF5 flushes and closes what it still holds


if __name__ == "__main__":
    main()

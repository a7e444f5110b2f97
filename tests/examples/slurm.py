#!/usr/bin/env python3
"""A stand-in of Slurm: `sbatch` runs a job at once, its tasks in turn; `scontrol requeue` lets one run again.

`SLURM_STAND_IN` is its folder: what was asked for is in `calls` there. `SLURM_KILLS`, such as "2:TERM 3:KILL", names
tasks of an array that are preempted (the batch shell gets SIGTERM, as by --signal=B:TERM@60), or whose machine is lost
(everything is killed, and Slurm itself requeues), each once, as soon as `SLURM_PROGRESS` is there, a path with a
pattern at its end in which %a is the task.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path


def main() -> int:
    """Be sbatch, or scontrol."""
    state, arguments = Path(os.environ["SLURM_STAND_IN"]), sys.argv[1:]
    with (state / "calls").open("a") as calls:
        calls.write(" ".join([Path(sys.argv[0]).name, *arguments]) + "\n")
    if Path(sys.argv[0]).name == "scontrol":
        (state / f"requeue-{arguments[1]}").touch()
        return 0
    n_options = next(number for number, argument in enumerate(arguments) if not argument.startswith("--"))
    options = dict(option[2:].partition("=")[::2] for option in arguments[:n_options])
    job = len(list(state.glob("job-*"))) + 1
    (state / f"job-{job}").touch()
    if needed := options.get("dependency"):
        kind, _, before = needed.partition(":")
        assert kind == "afterok"
        if (state / f"job-{before}").read_text() != "0":
            (state / f"job-{job}").write_text("never satisfied")
            sys.stdout.write(f"{job}\n")
            return 0
    first, _, last = options.get("array", "0-0").partition("-")
    status = 0
    for task in range(int(first), int(last) + 1):
        status = max(status, run(state, arguments[n_options:], options, f"{job}_{task}", task))
    (state / f"job-{job}").write_text(str(status))
    sys.stdout.write(f"{job}\n")
    return 0


def run(state: Path, command: list[str], options: dict[str, str], job: str, task: int) -> int:
    """Run a task until it has ended for good."""
    environment = {**os.environ, "SLURM_JOB_ID": job}
    if "array" in options:
        environment["SLURM_ARRAY_TASK_ID"] = str(task)
    while True:
        with Path(options["output"].replace("%a", str(task))).open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            killed = "array" in options and disturb(state, process, task)
            status = process.wait()
        marked = state / f"requeue-{job}"
        if not killed and not marked.exists():
            return abs(status)
        marked.unlink(missing_ok=True)


def disturb(state: Path, process: "subprocess.Popen[bytes]", task: int) -> bool:
    """Send a task the signal that is meant for it, once; return whether its machine was lost."""
    names = dict(kill.split(":") for kill in os.environ.get("SLURM_KILLS", "").split())
    done = state / f"disturbed-{task}"
    if str(task) not in names or done.exists():
        return False
    progress = Path(os.environ["SLURM_PROGRESS"].replace("%a", str(task)))
    while process.poll() is None and not any(progress.parent.glob(progress.name)):
        time.sleep(0.01)
    done.write_text(str(process.poll()))  # "None" where it was in the middle
    if names[str(task)] == "KILL":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return True
    process.terminate()
    return False


if __name__ == "__main__":
    sys.exit(main())

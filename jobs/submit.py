"""Submit: run a job on a cluster through Ray's job server; the same command follows it, and goes on after a failure.

python -m jobs.submit map.yaml --address http://127.0.0.1:8265
sandan submit train recipe.yaml --no-wait
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cluster.following import Answer, Follower, stop, wait_for
from cluster.job_server import ADDRESSES, DEFAULT_ADDRESS, check_token, connect_jobs, server_address, token_file
from cluster.package import Package, collect, write_zip
from cluster.submission import Attempt, Jobs, Lost, Refused, begin
from jobs.cli import JOBS
from jobs.config import RunConfig
from jobs.embed_recipe_config import recipe_kind
from jobs.estimate import format_bytes
from jobs.parsing import load
from jobs.plan import key_of
from jobs.recipe_config import Recipe
from jobs.shell import BAD_INPUT, DONE, FAULT, INTERRUPTED
from jobs.travel import check_travels

EPILOG = f"""examples:
  sandan submit map.yaml --address http://127.0.0.1:8265
  sandan submit map.yaml --set out=s3://bucket/june --no-wait
  sandan submit train recipe.yaml
  sandan submit map.yaml --stop

The same command follows a run that is at work, says that one is done, and goes on with one that failed or was stopped.
The token is read where Ray reads it: RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token. Without --address the cluster is that
of {ADDRESSES[0]}, else {DEFAULT_ADDRESS}.

exit codes: those of the job itself (sandan JOB --help); of this command: 1 the cluster is out of reach or could not run
the job, 2 bad input or no token (nothing was sent), 130 interrupted: the job goes on, 143 the job was stopped"""
MARGIN_S = 30
"""Beyond `limits.grace_s`, for a run that is stopped to write down what it did."""


@dataclass(frozen=True)
class Submission:
    """A job, checked as far as it can be without the cluster."""

    job: str
    config: RunConfig | Recipe
    words: tuple[str, ...]
    """What the driver is started with."""
    folder: Path

    @property
    def name(self) -> str:
        """The same for the same job with the same configuration, however it is spelt."""
        return f"sandan-{self.job}-{key_of(self.job, self.config.model_dump(mode='json'))}"

    def work(self, archive: Path) -> dict[str, Any]:
        """Return what Ray's job server is told of an attempt."""
        wait_s = math.ceil(self.config.limits.grace_s) + MARGIN_S
        environment = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(wait_s)}, "working_dir": str(archive)}
        # Ray runs it by a shell. One that stays in between is gone at the first signal, and what it leaves is waited
        # for until the time is over, where the first process of the head reaps nothing, as in many containers.
        entrypoint = f"exec {shlex.join(self.words)}"
        metadata = {"sandan": self.job, "run": self.name, "out": self.config.out}
        return {"entrypoint": entrypoint, "runtime_env": environment, "metadata": metadata}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = _parser().parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="sandan-") as scratch:
            return _run(arguments, Path(scratch) / "package.zip")
    except KeyboardInterrupt:
        return _ended("interrupted; the same command says what came of it", INTERRUPTED)


def _run(arguments: argparse.Namespace, archive: Path) -> int:
    try:
        submission = submission_of(arguments)
        address = server_address(arguments.address, os.environ)
        if not arguments.stop:
            package = checked_package(submission, Path(arguments.words[-1]))
            size = format_bytes(package.size_bytes)
            _tell(f"{len(package.files)} files, {size} ({package.largest()}) for {address}")
            if arguments.dry_run:
                print("\n".join([*package.files, f"{submission.name}: {shlex.join(submission.words)}"]))
                return DONE
            write_zip(package, archive)
        with_token = check_token(address, arguments.without_token, os.environ)
        jobs = connect_jobs(address, with_token, submission.work(archive))
    except Lost as error:
        return _ended(str(error), FAULT)
    except (ValueError, OSError, Refused) as error:
        return _ended(" ".join(str(error).split()), BAD_INPUT)
    try:
        return work(jobs, submission.name, arguments)
    except (Lost, Refused) as error:
        return _ended(f"{error}; the same command goes on", FAULT)


def submission_of(arguments: argparse.Namespace) -> Submission:
    """Read the configuration.

    Raises:
        ValueError: it does not fit, or no such job.
    """
    *named, config = arguments.words
    job = named[0] if named else "map"
    if len(named) > 1 or job not in JOBS:
        raise ValueError(f"asked for {shlex.join(named)}; say at most one job, of {', '.join(JOBS)}")
    folder = Path(os.path.abspath(arguments.working_dir))
    read: RunConfig | Recipe = (
        load(recipe_kind, config, arguments.set) if job == "train" else load(RunConfig, config, arguments.set)
    )
    if read.engine.kind == "serial":
        _tell("engine.kind is serial: all of it runs on the head of the cluster, and its workers have nothing to do")
    changes = [word for change in arguments.set for word in ("--set", change)]
    inside = Path(os.path.relpath(os.path.abspath(config), folder)).as_posix()
    return Submission(job, read, ("python", "-m", f"jobs.{job}", inside, *changes), folder)


def checked_package(submission: Submission, file: Path) -> Package:
    """Choose what is sent, and make sure that the job finds in it what it names.

    Raises:
        ValueError: it does not, or there is more than Ray takes.
    """
    package = collect(submission.folder, never=[token_file(os.environ)])
    check_travels(submission.config, Path(os.path.abspath(file)), package)
    for link in package.links:
        _tell(f"{link} is a link, and not sent")
    return package


def work(jobs: Jobs, name: str, arguments: argparse.Namespace) -> int:
    """Do the next step of a run, follow it, and return its exit code.

    Raises:
        Lost: the job server is out of reach.
        Refused: it does not take the job, or does not know it any more.
    """
    if arguments.stop:
        stopped = stop(jobs, name, partial(Follower, jobs, write=_write, tell=_tell))
        _tell(f"{name} is not at work" if stopped is None else told(stopped))
        return DONE
    step = begin(jobs, name, arguments.again)
    _tell(_SAID[step.kind].format(id=step.id))
    if step.kind == "done" or arguments.no_wait:
        return DONE
    attempt = wait_for(Follower(jobs, step.id, _write, _tell), asked)
    if attempt is None:
        return _ended(f"{step.id} goes on; the same command follows it, and with --stop ends it", INTERRUPTED)
    return _ended(told(attempt), attempt.code)


_SAID = {
    "submit": "{id} submitted",
    "follow": "{id} is at work: following it",
    "done": "{id} succeeded: nothing to do; --again submits it anew, for scenes or code that changed",
}


def asked(id: str) -> Answer:
    """Ask at the terminal what Ctrl-C means; where there is none, the job goes on alone."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return "detach"
    print(f"\n{id}: [d]etach, [s]top, or Enter to go on following: ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    if not answer.endswith("\n"):  # a second Ctrl-C, or the end of input
        print(file=sys.stderr)
        return "detach"
    answers: dict[str, Answer] = {"d": "detach", "s": "stop"}
    return answers.get(answer.strip().lower()[:1], "follow")


def _write(text: str) -> None:
    print(text, end="", flush=True)


def told(attempt: Attempt) -> str:
    """Return how an attempt ended, as a sentence."""
    unexplained = attempt.state == "FAILED" and attempt.exit_code is None
    why = f": {attempt.message}" if unexplained and attempt.message else ""
    at = "" if attempt.ended_s is None else time.strftime(" at %Y-%m-%d %H:%M:%S", time.localtime(attempt.ended_s))
    more = "" if attempt.code == DONE else "; the same command submits it again"
    return f"{attempt.id} {attempt.state.lower()}{at}{why}, exit code {attempt.code}{more}"


def _ended(sentence: str, code: int) -> int:
    _tell(sentence)
    return code


def _tell(sentence: str) -> None:
    print(f"sandan submit: {sentence}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan submit",
        usage="sandan submit [JOB] CONFIG.yaml [--set a.b=value ...] [--address URL] [--no-wait] [--stop] ...",
        description="Run a job on a cluster: send configuration and code, follow its log, end with its exit code.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="[JOB] CONFIG.yaml", help="map (or another job), and its YAML")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=value", help="override one key of the configuration"
    )
    parser.add_argument("--address", metavar="URL", help="of the cluster's job server: http://HEAD:8265")
    parser.add_argument(
        "--working-dir",
        default=".",
        metavar="FOLDER",
        help="what is sent, and where relative paths begin (default: this folder); data, runs, secrets, links and what "
        ".gitignore and .rayignore name stay",
    )
    parser.add_argument("--no-wait", action="store_true", help="do not follow it")
    parser.add_argument("--again", action="store_true", help="submit it anew even if it succeeded")
    parser.add_argument("--stop", action="store_true", help="stop it, giving it the time to write down what it did")
    parser.add_argument(
        "--without-token", action="store_true", help="also submit to a cluster that asks nobody for a token"
    )
    parser.add_argument("--dry-run", action="store_true", help="check, print what would be sent, and send nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())

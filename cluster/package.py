"""What of a folder travels to a cluster with a job, and what never does.

The files are packed into an archive before anything is sent, so that what is told is what goes, and nothing that
changes meanwhile matters. `.rayignore` at the root of this project says the same to a plain `ray job submit`.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

SECRETS = (
    *(".env", ".env.*", ".envrc", "auth_token", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    *(
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.kdbx",
        "*credentials*",
        "*service-account*.json",
        "*.tfstate*",
        "*.tfvars",
    ),
    *(".netrc", ".git-credentials", ".pypirc", ".npmrc", ".aws/", ".ssh/", ".ray/", ".kube/", ".docker/", ".gnupg/"),
)
"""Names that hold passwords, keys and tokens."""
BULK = (
    *("/data/", "/runs/", "*.zarr/", "*.safetensors", "*.partial", ".git", ".venv/", "venv/", "__pycache__/"),
    *(".mypy_cache/", ".ruff_cache/", ".pytest_cache/", ".hypothesis/", "*.egg-info/"),
)
"""Data, results and what tools leave: they lie where every node reads them, or are of no use there."""
NEVER = GitIgnoreSpec.from_lines([*SECRETS, *BULK])
IGNORE_FILES = (".gitignore", ".rayignore")
"""Files whose patterns are left out, too; of the folder itself and of those below it."""
LIMIT_BYTES = 96 * 2**20
"""Ray takes 100 MiB over HTTP (its `DASHBOARD_CLIENT_MAX_SIZE`; drivers may upload five times as much), and what
does not shrink grows a little in an archive."""
TOLD = 4
"""Places that a message names."""
_DATE = (1980, 1, 1, 0, 0, 0)  # of all members: equal files make an equal archive, which Ray then does not upload again


@dataclass(frozen=True)
class Package:
    """Files of a folder."""

    folder: Path
    files: Mapping[str, int]
    """Path below the folder, with `/`, to bytes; in order of the paths."""
    links: tuple[str, ...] = ()
    """Symbolic links: they are not followed, and not sent."""

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(self.files.values())

    def holds(self, path: Path) -> bool:
        """Whether a file of this machine, or every file below a folder of it, is among them."""
        try:
            inside = Path(os.path.abspath(path)).relative_to(os.path.abspath(self.folder)).as_posix()
        except ValueError:
            return False
        if not path.is_dir():
            return inside in self.files
        below = [file for file in path.rglob("*") if not file.is_dir()]
        return bool(below) and all(self.holds(file) for file in below)

    def largest(self) -> str:
        """Return the largest places of the folder, as text."""
        sizes: Counter[str] = Counter()
        for file, size in self.files.items():
            sizes[PurePosixPath(file).parts[0]] += size
        return ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in sizes.most_common(TOLD))


def collect(folder: Path, never: Sequence[Path] = ()) -> Package:
    """Choose the files of a folder that may travel: all but `SECRETS`, `BULK`, links, and what ignore files say.

    Args:
        folder: absolute, or relative to the working directory.
        never: further files that stay, such as that of a token.

    Raises:
        ValueError: they are more than Ray takes.
        OSError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder; name the one that holds the configuration")
    kept = {path.resolve() for path in never}
    files: dict[str, int] = {}
    links: list[str] = []
    for path, entry in _walk(folder, "", ()):
        if entry.is_symlink():
            links.append(path)
        elif stat.S_ISREG(entry.stat().st_mode) and Path(entry.path).resolve() not in kept:
            files[path] = entry.stat().st_size
    package = Package(folder, dict(sorted(files.items())), tuple(sorted(links)))
    if package.size_bytes > LIMIT_BYTES:
        raise ValueError(
            f"{folder} would send {len(files)} files of {package.size_bytes / 2**20:.0f} MiB, Ray takes at most "
            f"{LIMIT_BYTES // 2**20} MiB; largest are {package.largest()}: name what is not needed in .rayignore, "
            "or submit from another folder"
        )
    return package


def _walk(folder: Path, at: str, rules: Sequence[tuple[str, GitIgnoreSpec]]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield (path, entry) of every file below a folder that no rule leaves out; `rules` are those of folders above."""
    rules = [*rules, *((at, rule) for rule in _ignored_by(folder))]
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = at + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        asked = f"{path}/" if is_folder else path
        if NEVER.match_file(asked) or _is_ignored(asked, rules) or entry.name in IGNORE_FILES:
            continue
        if is_folder:
            yield from _walk(Path(entry.path), f"{path}/", rules)
        else:
            yield path, entry


def _ignored_by(folder: Path) -> Iterator[GitIgnoreSpec]:
    for name in IGNORE_FILES:
        if (folder / name).is_file():
            yield GitIgnoreSpec.from_lines((folder / name).read_text(errors="replace").splitlines())


def _is_ignored(path: str, rules: Sequence[tuple[str, GitIgnoreSpec]]) -> bool:
    """Whether rules leave a path out: the innermost file that says something about it decides, as with git."""
    for at, rule in reversed(rules):
        verdict = rule.check_file(path.removeprefix(at)).include
        if verdict is not None:
            return verdict
    return False


def write_zip(package: Package, file: Path) -> None:
    """Pack the files; equal files make an equal archive, bit for bit.

    Raises:
        OSError: one of them cannot be read any more.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in package.files:
            source = package.folder / path
            member = zipfile.ZipInfo(path, _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (stat.S_IFREG | (0o755 if os.access(source, os.X_OK) else 0o644)) << 16
            archive.writestr(member, source.read_bytes())

"""`sandan cluster`: render the files that start a cluster from one small configuration, and check such files.

sandan cluster render CLUSTER.yaml --to FOLDER
sandan cluster check FILE ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from cluster.deployment import check_kubernetes, check_ray_up
from cluster.deployment.files import rendered
from cluster.deployment.spec import Deployment
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE

EPILOG = """examples:
  sandan cluster render cluster/cluster.yaml --to cluster
  sandan cluster check cluster/aws.yaml cluster/onprem.yaml
  sandan cluster check cluster/kuberay/*.yaml --schemas crds

The schemas of KubeRay's own kinds are files KIND.openapi.json, made of its custom resource definitions.
Exit codes: 0 all well, 2 the command or a file that cannot be read, 3 a file has problems."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="sandan cluster",
        description="Render and check the files that start a cluster.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="render|check")
    render = commands.add_parser("render", help="write every file that a configuration asks for")
    render.add_argument("config", metavar="CLUSTER.yaml", help="the one small configuration")
    render.add_argument("--to", required=True, metavar="FOLDER", help="where to write; earlier files are replaced")
    check = commands.add_parser("check", help="check files for `ray up` and for Kubernetes, without either")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.add_argument("--schemas", metavar="FOLDER", help="KubeRay's schemas, one KIND.openapi.json each")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "render":
            return _render(arguments.config, Path(arguments.to))
        return _check(arguments.files, Path(arguments.schemas) if arguments.schemas else None)
    except ImportError as error:
        print(f"sandan cluster check needs {error.name}: pip install 'sandan[deploy]'", file=sys.stderr)
        return BAD_INPUT
    except (ValueError, OSError) as error:
        print(f"sandan cluster: {error}", file=sys.stderr)
        return BAD_INPUT


def _render(config: str, folder: Path) -> int:
    for name, text in rendered(load(Deployment, config), Path(config).name).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        print(file)
    return DONE


def _check(files: Sequence[str], schemas: Path | None) -> int:
    wrong = 0
    for name in files:
        found = problems_of(Path(name), schemas)
        wrong += bool(found)
        for told in found:
            print(f"{name}: {told}")
        if not found:
            print(f"{name}: ok")
    return INCOMPLETE if wrong else DONE


def problems_of(file: Path, schemas: Path | None) -> list[str]:
    """Return what is wrong with a file, in sentences.

    Args:
        file: for `ray up`, or documents for Kubernetes: which of the two is seen from its keys.
        schemas: folder with KubeRay's schemas.

    Raises:
        ValueError: schemas are needed, and not there.
        OSError: the file cannot be read.
    """
    try:
        documents = [document for document in yaml.safe_load_all(file.read_text()) if document is not None]
    except yaml.YAMLError as error:
        return [f"is no YAML: {error}"]
    if not documents:
        return ["holds nothing"]
    if len(documents) == 1 and not (isinstance(documents[0], dict) and "apiVersion" in documents[0]):
        return check_ray_up.problems(documents[0])
    return [told for document in documents for told in check_kubernetes.problems(document, schemas)]


if __name__ == "__main__":
    sys.exit(main())

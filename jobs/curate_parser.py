"""The command line of `sandan curate`."""

from __future__ import annotations

import argparse

from jobs.curate_clean import KNOWN
from jobs.curate_frame import LAND_COVERS
from models.balance import TIMES
from models.clustering import SAMPLE
from models.outliers import FLAG_Z

SUMMARY = "Curate a data set, windows of scenes, or frames: report, balance, clean, filter, and apply what was decided."
VERBS = {
    "report": "the metadata frame (CSV and Parquet), verdicts, and a page with pictures",
    "balance": "leave out tiles of over-full classes, down to the mean of the others",
    "clean": "find clusters in suspected classes, and leave one out",
    "filter": "leave out what is damaged, too empty, too small, lonely, a copy, or listed",
    "apply": "say which versions count, and write OUT/curation/kept.csv for trainings",
    "recipe": "do the steps of a recipe with `task: curate`, with its settings",
}
EXAMPLES = """examples:
  sandan curate report images.yaml
  sandan curate filter images.yaml --missing 0.3 --duplicates near
  sandan curate clean images.yaml                            (look at the sheets in OUT/curation/clean)
  sandan curate clean images.yaml --by rule                  (or --remove 0, the cluster that you saw)
  sandan curate clean images.yaml --classes L2_3,L2_12 --encoder autoencoder=models/ae
  sandan curate balance images.yaml --times 3 --seed 1
  sandan curate apply images.yaml                            (all versions; or --versions 1,3)
  sandan curate report map.yaml                              (windows of the scenes, or frames; then as above)
  sandan curate recipe eda.yaml                              (task: curate, with the steps above)

Every removal is a version, OUT/curation/NUMBER/removed.csv: it is never overwritten, counts once it is applied, and is
undone by applying without it. A recipe reads the result: data: {run: images.yaml, curation: OUT/curation/kept.csv}.

exit codes: 0 done, 1 fault, 2 bad input (nothing written), 3 scenes or shards could not be read, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    shape = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("sandan curate", description=SUMMARY, epilog=EXAMPLES, formatter_class=shape)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="|".join(VERBS))
    made = {}
    for name, summary in VERBS.items():
        one = made[name] = verbs.add_parser(
            name, help=summary, description=summary, epilog=EXAMPLES, formatter_class=shape
        )
        what = "RECIPE.yaml" if name == "recipe" else "RUN.yaml"
        told = "RECIPE.yaml with `task: curate`" if name == "recipe" else "a run of any kind; ingested if not yet"
        one.add_argument("config", metavar=what, help=told)
        one.add_argument("--set", action="append", default=[], metavar="a.b=value", help="override one of its keys")
        one.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
        if name in ("balance", "clean", "filter"):
            one.add_argument(
                "--on",
                choices=("kept", "all"),
                default="kept",
                help="begin with what is kept by now, or with all tiles",
            )
        if name in ("report", "balance"):
            one.add_argument(
                "--covers", type=int, default=LAND_COVERS, help="land covers that strata tell apart (3; 1 for none)"
            )
    made["balance"].add_argument(
        "--times", default=str(TIMES), help="over-full from so many times the median count (3)"
    )
    made["balance"].add_argument("--seed", type=int, default=0, help="of the draw (0)")
    made["balance"].add_argument("--split", help="count and draw only tiles of this split, such as train")
    clean = made["clean"]
    clean.add_argument("--classes", help="A,B or all (default: classes with an odd mean pixel; all without classes)")
    clean.add_argument("--reducers", help=f"of {','.join(KNOWN)} (all; dark_objects of sensors with a band nir only)")
    clean.add_argument(
        "--vectors", action="append", default=[], metavar="NAME=FILE.npz", help="codes or embeddings: ids, vectors"
    )
    clean.add_argument(
        "--encoder", action="append", default=[], metavar="NAME=BUNDLE", help="an autoencoder or embedder makes vectors"
    )
    clean.add_argument("--clusters", type=int, default=2, help="of each clustering (2)")
    clean.add_argument("--seed", type=int, default=0, help="of reducers and k-means++ (0)")
    clean.add_argument(
        "--sample", type=int, default=SAMPLE, help="tiles that a silhouette is taken from at most (10000)"
    )
    clean.add_argument("--flag", default=str(FLAG_Z), help="robust z from which a class is odd (3.5)")
    clean.add_argument("--reducer", metavar="NAME", help="take the clusters of this one instead of the chosen one's")
    decided = clean.add_mutually_exclusive_group()
    decided.add_argument("--remove", metavar="CLUSTER", help="leave this cluster out, or several: 1,2")
    decided.add_argument("--by", choices=("rule",), help="leave the suspect cluster out")
    some = made["filter"]
    some.add_argument("--missing", help="largest missing ratio (default: that of the data set or its sensor)")
    for bound in ("min-width", "min-height", "max-width", "max-height"):
        some.add_argument(f"--{bound}", type=int, metavar="PX", help="of the file, before resizing")
    some.add_argument("--outliers", metavar="Z", help="largest outlier score")
    some.add_argument(
        "--duplicates", choices=("none", "exact", "near"), default="none", help="keep the first copy only"
    )
    some.add_argument("--list", metavar="FILE.csv", help="leave these out too (column id)")
    made["apply"].add_argument("--versions", default="all", help="1,3 or all or none (all)")
    return top

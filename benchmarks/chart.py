"""CPU time for each request as bars; run with the benchmarks' own Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """chart.png beside results.json."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    found = json.loads((folder / "results.json").read_text())["lines"]
    most = max(line["users"] for line in found)
    paths = ["status", "access", "payment", "login"]
    servers = list(dict.fromkeys(line["server"] for line in found))
    figure, axes = pyplot.subplots(1, len(paths), figsize=(11, 3.2), constrained_layout=True)
    for axis, path in zip(axes, paths, strict=True):
        bars = [
            (line["server"], line["cpu_us"] / 1000)
            for server in servers
            for line in found
            if (line["server"], line["path"], line["users"]) == (server, path, most)
        ]
        names, values = [name for name, _ in bars], [value for _, value in bars]
        colours = ["#c2410c" if name == "manga_backend" else "#94a3b8" for name in names]
        drawn = axis.barh(names, values, color=colours)
        axis.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
        axis.set_title(path, fontsize=10)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.set_xlim(0, max(values, default=1) * 1.25)
    figure.supxlabel(f"ms of CPU for each request, {most:,} users", fontsize=9)
    figure.savefig(folder / "chart.png", dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

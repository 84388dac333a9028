"""For how long each expression shows in each video that fer-score has scored, as a table and a plot.

python examples/archive_pandas.py results plot.png
"""

import sys

import pandas as pd

results, plot = sys.argv[1:]
tracks = pd.read_parquet(f"{results}/tracks").dropna(subset="first_s")  # photos have no time
seconds = tracks.filter(like="seconds_").groupby(tracks["source"]).sum()
seconds.columns = seconds.columns.str.removeprefix("seconds_")
print(seconds.round(1).to_string())
axes = seconds.plot.barh(stacked=True, xlabel="seconds", ylabel="", figsize=(10, 1 + 0.4 * len(seconds)))
axes.figure.savefig(plot, bbox_inches="tight")

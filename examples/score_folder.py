"""Accuracy of an exported file on a folder of labelled faces, FOLDER/<class>/*.

Run it with `python examples/score_folder.py FOLDER [model.onnx]`.
"""

import sys
from pathlib import Path

from fer_runtime import Classifier, FerError
from fer_runtime.data import scoring_set
from fer_runtime.data.metrics import score

try:
    classifier = Classifier(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    split, faces = scoring_set.load(Path(sys.argv[1]), classifier.manifest).held_out()
    scores = score(classifier.predict(faces.pixels), faces.labels, classifier.labels)
except FerError as error:
    sys.exit(str(error))

print(f"{split}: {scores.line()}")
for label, faces_of_class in scores.faces.items():
    print(f"  {label}: {scores.recall[label]:.1%} of {faces_of_class} found")

"""What is measured once, after training: temperature and framing (also: fer_train.balance, fer_train.ranges)."""

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from fer_runtime.data.dataset import Faces, stratified
from fer_runtime.faces.detection import RetinaFace
from fer_runtime.model.preprocessing import Framing

FRAMING_FACES = 400
ENLARGED = 4  # the detector is made for larger faces than 48 pixels


def temperature(logits: Tensor, targets: Tensor) -> float:
    """The T that minimizes cross-entropy of softmax(logits / T) (Guo et al. 2017, arXiv:1706.04599).

    logits: float [n, classes]; targets: int64 [n], or float [n, classes], whose rows sum to a face's weight.
    """
    log_t = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits / log_t.exp(), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    # A network that is always right would be sharpened without end.
    return float(log_t.detach().exp().clamp(0.05, 20))


def framing(faces: Faces) -> Framing | None:
    """Where the detector's box falls in the training faces: medians over stratified `faces`, enlarged.

    None when it finds fewer than half of them: then they do not look like faces in front of a camera.
    """
    sample = stratified(faces, FRAMING_FACES).pixels[:, 0]
    side = sample.shape[1] * ENLARGED
    detector = RetinaFace(side=2 * side)
    found: list[tuple[float, float, float]] = []
    for face in sample:
        enlarged = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        # Room on every side, so that a box larger than the training frame is not cut.
        margin = side // 2
        frame = cv2.copyMakeBorder(enlarged, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=127)
        detections = detector(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False))
        if detections:
            x, y, width, height = detections[0].box
            found.append(((x + width / 2 - margin) / side, (y + height / 2 - margin) / side, height / side))
    if 2 * len(found) < len(sample):
        return None
    centre_x, centre_y, tall = np.median(np.array(found), axis=0).round(4).tolist()
    return Framing(centre_x, centre_y, tall)

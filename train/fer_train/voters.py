"""What people's votes say of a face, in the terms of the data's own labels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_runtime.errors import FerError

DECAY = 1e-4  # of the squared weights: there are 20 inputs and thousands of faces, so almost none is needed
LEAST = 1e-5  # probability that counts as none: a teacher's float16 may be 0, and has a logarithm nonetheless


def translated(counts: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """How probable each label is, given a face's votes alone: float32 [n, classes]; and bool [n], who has votes.

    Voters and labels do not mean the same: FER+'s ten people call neutral what FER2013 calls sad, and agree with 62 %
    of its labels. Multinomial logistic regression learns from all faces what a pattern of votes goes with; a single
    face's label hardly counts in it, so unlike a label or a network's answer it is no more right on these faces than
    on new ones. counts: float [n, columns] of votes; labels: int64 [n]. Rows sum to 1, those without votes to 0.
    Raises FerError where no face has votes.
    """
    voted = counts.sum(1) > 0
    if not voted.any():
        raise FerError(
            f"the votes name none of the {len(counts)} training images: expected paths like train/happy/1.jpg"
        )
    given = counts[voted].double()
    seen = torch.cat([given / given.sum(1, keepdim=True), (given + 0.5).log()], 1)
    seen = F.pad(seen, (0, 1), value=1.0)  # the last weight of each class is its bias
    weights = torch.zeros(seen.shape[1], classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        wrong = F.cross_entropy(seen @ weights, labels[voted]) + DECAY * weights[:-1].square().sum()
        wrong.backward()
        return wrong

    optimizer.step(loss)
    people = torch.zeros(len(counts), classes)
    people[voted] = (seen @ weights.detach()).softmax(1).float()
    return people, voted


def pooled(people: Tensor, said: Tensor, votes_power: float, teacher_power: float) -> Tensor:
    """float32 [views, n, classes], rows sum to 1: `people` [n, classes] and teachers, `said` [views, n, classes].

    Two who look at a face on their own: the product of their probabilities, each to its power (a logarithmic opinion
    pool: Genest and Zidek 1986).
    """
    logs = votes_power * people.clamp(LEAST).log() + teacher_power * said.clamp(LEAST).log()
    return logs.softmax(2)

"""The training recipe per model size: every number in one place, with its reason."""

from dataclasses import dataclass, replace

MIXES = ("labels", "votes", "between", "uniform")  # of classes, see fer_train.balance


@dataclass(frozen=True)
class Augmentation:
    """How far a training face is varied, uniformly within each bound; shares of the image side unless said."""

    rotation: float = 15.0  # degrees: heads tilt, and the runtime turns a face upright only from 12 degrees on
    zoom: float = 0.18  # factor e**+-zoom: the detector's box breathes from frame to frame
    shift: float = 0.09  # about twice the detector's own spread on training faces (2.4 of 48 pixels)
    shear: float = 0.08
    gain: float = 0.35  # contrast factor e**+-gain: FER2013's exposure varies, a cheap camera's more
    offset: float = 0.15  # brightness, of the pixel range
    gamma: float = 0.25  # exponent e**+-gamma
    erase: float = 0.5  # probability of one grey rectangle: hands, hair, glasses
    erase_side: tuple[float, float] = (0.15, 0.4)
    # What cheap cameras do to faces: no gain on the web's clean ones, so not in the recipes (docs/experiments.md).
    blur: float = 0.0  # probability of a blur in a random direction: small faces enlarged, motion, poor focus
    blur_sigma: float = 0.035  # its largest standard deviation, along that direction
    noise: float = 0.0  # probability of a sensor's noise
    noise_sigma: float = 0.06  # its largest standard deviation, of the pixel range
    jpeg: float = 0.0  # probability of a face shrunk, compressed and enlarged
    jpeg_blocks: tuple[int, int] = (2, 6)  # how small: blocks of 8 pixels a side
    jpeg_quality: tuple[float, float] = (20, 70)  # of webcams' motion JPEG and of web photos' copies


@dataclass(frozen=True)
class Recipe:
    """One model size's training."""

    epochs: int
    batch: int = 128  # small enough for its gradient noise to regularize, large enough to fill the cores
    rate: float = 0.1  # SGD-nesterov's usual peak at this batch; one-cycle: warm-up, then cosine to zero
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on weights only: decaying norms and biases costs accuracy and prevents nothing
    warmup_epochs: float = 3.0
    label_smoothing: float = 0.1  # FER2013's labels disagree with ten voters on a third of the images
    ema: float = 0.998  # averages over the last ~500 steps (2 epochs): what is validated and shipped
    # The first epochs see smaller faces: they cost half as much, and the last ones make up for it (progressive
    # resizing; the network pools globally, so any side fits). Validation faces are always seen whole.
    low_share: float = 0.6  # of the epochs
    low_side: float = 0.75  # of the side
    # With --teacher: a face's target is this much the teachers' answer, the rest its label.
    teacher_share: float = 0.7
    # Views of each face that teachers predict and the student sees, in turn, one per epoch: a run of at most so many
    # epochs sees a fresh view in each.
    teacher_views: int = 32
    init_rate: float = 0.2  # with --init: share of `rate`, so that what was learned is moved, not wiped out
    # At the end, answer each class as often as in this mix (fer_train.balance), "none" leaves it. It finds more
    # of the rare and the doubtful ones, for about a point of accuracy (0.1 to 1.1 for small, 0.9 and 0.8 for the rest).
    balance: str = "none"
    # With --votes: weight of a second head that learns the labels and is dropped at the end; the rest is the votes'.
    label_share: float = 0.0
    augmentation: Augmentation = Augmentation()


# What the small sizes see: a network that cannot memorize its faces learns more from milder ones. small gained 2
# points over 45 and 30 epochs of the defaults (66.2 %), by this and by twice the epochs together.
MILD = Augmentation(gain=0.25, offset=0.1, gamma=0.2, erase=0.25)

RECIPES: dict[str, Recipe] = {
    # A quarter of small's parameters: milder still, less decay, and more epochs, which cost it little.
    "nano": Recipe(
        epochs=240,
        weight_decay=2e-4,
        label_smoothing=0.05,
        low_share=0.4,
        augmentation=replace(MILD, erase=0.15),
    ),
    # Its best epoch is the last one, and validation still rose: longer would gain more.
    "small": Recipe(epochs=150, label_smoothing=0.05, low_share=0.5, balance="labels", augmentation=MILD),
    "base": Recipe(
        epochs=120,
        label_smoothing=0.05,
        low_share=0.5,
        augmentation=Augmentation(
            gain=0.3, offset=0.12, gamma=0.2, erase=0.35
        ),  # it has more capacity to memorize with
    ),
    "teacher": Recipe(epochs=36),  # as much as two CPU cores do in 40 minutes
    "large": Recipe(epochs=60),
}


def for_votes(recipe: Recipe) -> Recipe:
    """The recipe where votes are learned: their mix has half as much disgust, anger and fear as the labels have."""
    return replace(recipe, balance="between")

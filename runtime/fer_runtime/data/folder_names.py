"""What a folder's name says: a split, an expression, a person's number, or something that can be read in two ways."""

import re
from functools import cache

Split = str
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "trainingset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "devset", "development", "publictest"), "valid"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "privatetest"), "test"),
}
KNOWN_SPLITS = "train, Training; valid, val, dev, PublicTest; test, PrivateTest"  # for messages
TWO_SPLITS = {"trainval", "traintest", "traintestval", "valtest", "devtest", "testtrain"}
HELD_OUT = {"eval", "evaluation", "holdout", "heldout"}  # validation or test?
PARTS = {"fold", "kfold", "cv", "split", "part", "partition", "subset", "batch", "shard", "chunk"}  # with a number
# What may follow the split's word: train_set, val_images.
PLAIN = {
    "set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "faces", "face", "folder",
    "jpg", "jpeg", "png", "crops", "cropped", "aligned", "original", "origin", "raw", "labels", "annotations",
}  # fmt: skip
EXPRESSIONS = {
    "angry", "anger", "annoyed", "contempt", "contemptuous", "disgust", "disgusted", "fear", "fearful", "afraid",
    "scared", "happy", "happiness", "happily", "joy", "joyful", "smile", "smiling", "neutral", "neutrality", "calm",
    "natural", "sad", "sadness", "surprise", "surprised", "amazed", "bored", "pain", "shame", "pride", "confused",
    "ang", "con", "dis", "fea", "hap", "neu", "sur",
}  # fmt: skip
NUMBERED_CLASS = {"c", "class", "category", "cat", "e", "emotion", "expression", "expr", "l", "label"}


@cache
def split_of(name: str) -> Split | None:
    """The split that it names, as Training, train_set, FER2013Train, PublicTest and val_images do; else None."""
    if reason_to_ask(name):
        return None
    words = words_of(name)
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    if len(splits) != 1:
        return None
    at = max(index for index, word in enumerate(words) if word in SPLIT_WORDS)
    plain = all(word in PLAIN or (word.isdigit() and len(word) == 4) for word in words[at + 1 :])
    return splits.pop() if plain else None


@cache
def reason_to_ask(name: str) -> str | None:
    """Why it can be read in two ways, as "may be validation or test: ..."; None where it cannot."""
    words = words_of(name)
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    at = [index for index, word in enumerate(words) if word in SPLIT_WORDS or word in PARTS]
    numbered = bool(at) and any(word.isdigit() and len(word) < 4 for word in words[at[-1] + 1 :])
    if len(splits) > 1 or TWO_SPLITS & set(words):
        return "names two splits: name it train, valid or test"
    if splits and names_expression(name):
        return "names a split and a class: expected a folder of the class in one of the split, such as train/happy"
    if HELD_OUT & set(words):
        return "may be validation or test: name it valid or test"
    if numbered and splits:
        return "is one of several parts of a split: put them together, or give one of them by itself"
    if numbered and PARTS & set(words):
        return "is a part that may be trained or tested on: move what to train on into train and the rest into test"
    return None


@cache
def names_expression(name: str) -> bool:
    """Whether a word of it is a known expression: happy, 3_happy, Happiness."""
    return any(word in EXPRESSIONS for word in words_of(name))


def is_plain(name: str) -> bool:
    """Whether it says nothing but that there are pictures: images, aligned."""
    words = words_of(name)
    return bool(words) and all(word in PLAIN for word in words)


def is_numbered(name: str) -> bool:
    """Whether it holds a number, as names of people, videos and days do: S010, 1-30-1280x720; not 3 or class_3."""
    found = re.fullmatch(r"([A-Za-z]*)[ _-]?\d+", name)
    return bool(re.search(r"\d", name)) and not (found and found[1].lower() in {"", *NUMBERED_CLASS})


def words_of(name: str) -> list[str]:
    """In lower case: FER2013Train -> fer, 2013, train; Public Test -> publictest."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
    joined: list[str] = []
    for word in words:
        if word == "test" and joined and joined[-1] in ("public", "private"):
            joined[-1] += word
        else:
            joined.append(word)
    return joined

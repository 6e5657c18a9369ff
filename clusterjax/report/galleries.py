"""Which test cutouts a report shows, and what is written under each."""

import numpy as np
from jaxtyping import Integer, Real

from clusterjax.evaluation.examples import select_binary_examples, select_multiclass_examples
from clusterjax.report.blocks import GalleryBlock, Thumbnail
from clusterjax.report.contents import Gallery, Predictions
from clusterjax.report.images import false_colour, fit_stretch, image_png

_BINARY_TITLES = {
    "false_negative": (
        "Missed",
        "Called “{negative}” although they are “{positive}”; the most confident mistakes first.",
    ),
    "false_positive": ("False alarms", "Called “{positive}” although they are not; the most confident mistakes first."),
    "true_positive": ("Found", "Rightly called “{positive}”, from the surest to the least sure."),
    "true_negative": ("Rejected", "Rightly called “{negative}”, from the surest to the least sure."),
}


def choose_examples(predictions: Predictions, *, num: int = 12) -> dict[str, Integer[np.ndarray, " chosen"]]:
    """Rows of the predictions' table for each group of up to ``num``, mistakes first; empty groups are left out.

    Read the images of these rows and hand them to :func:`make_gallery`.
    """
    if predictions.is_binary:
        score = predictions.probabilities[:, 1]
        groups = select_binary_examples(predictions.label, score, threshold=predictions.threshold, num=num)
        groups = {name: groups[name] for name in _BINARY_TITLES}
    else:
        chosen = select_multiclass_examples(
            predictions.label, predictions.probabilities, predictions.class_names, num=num
        )
        groups = {"wrong": chosen.pop("wrong"), **chosen}
    return {name: rows for name, rows in groups.items() if len(rows)}


def make_gallery(
    predictions: Predictions,
    group: str,
    rows: Integer[np.ndarray, " n"],
    images: Real[np.ndarray, "n y x band"],
) -> Gallery:
    """The gallery of one group of :func:`choose_examples`: ``images`` are those of ``rows``, in flux units."""
    names = list(predictions.class_names)
    if group in _BINARY_TITLES:
        title, description = _BINARY_TITLES[group]
        description = description.format(negative=names[0], positive=names[1])
    elif group == "wrong":
        title, description = "Mistaken", "True class → called class; the most confident mistakes first."
    else:
        name = group.removeprefix("right: ")
        title, description = f"Right: {name}", "From the surest to the least sure."
    return Gallery(title, np.asarray(images), [_caption(predictions, int(row)) for row in rows], description)


def _caption(predictions: Predictions, row: int) -> str:
    """Two lines at most: what it is and its score; redshift and mass where it has them."""
    scores = predictions.probabilities[row]
    true = predictions.class_names[predictions.label[row]]
    if predictions.is_binary:
        kind = predictions.table["object_type"][row] if "object_type" in predictions.table.colnames else true
        first = f"{str(kind).replace('_', ' ')} · {scores[1]:.3f}"
    else:
        called = predictions.class_names[int(np.argmax(scores))]
        first = f"{true} · {scores.max():.2f}" if called == true else f"{true} → {called} · {scores.max():.2f}"
    parts = []
    for name, form in (("redshift", "z {:.2f}"), ("m500c_msun", "{:.1f}×10¹⁴ M☉")):
        values = predictions.column(name)
        if values is not None and np.isfinite(values[row]) and values[row] > 0:
            parts.append(form.format(values[row] / 1e14 if name == "m500c_msun" else values[row]))
    return first + ("\n" + ", ".join(parts) if parts else "")


def gallery_blocks(galleries, *, natural: bool) -> list[GalleryBlock]:
    """Thumbnails under one common stretch, so that cutouts can be compared with each other."""
    shown = [gallery for gallery in galleries if len(gallery.images)]
    if not shown:
        return []
    same_size = len({gallery.images.shape[1:] for gallery in shown}) == 1
    stretch = fit_stretch(np.concatenate([gallery.images for gallery in shown])) if same_size else None
    return [_gallery_block(gallery, stretch or fit_stretch(gallery.images), natural) for gallery in shown]


def _gallery_block(gallery: Gallery, stretch, natural: bool) -> GalleryBlock:
    pictures = false_colour(gallery.images, stretch, natural=natural)
    thumbnails = [
        Thumbnail(image_png(picture), caption.split("\n"), f"{gallery.title}: {caption}".replace("\n", ", "))
        for picture, caption in zip(pictures, gallery.captions, strict=True)
    ]
    return GalleryBlock(gallery.title, gallery.description, thumbnails)

"""Which test cutouts a report shows, and what is written under each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Real, UInt8

from clusterjax.evaluation.examples import select_binary_examples, select_multiclass_examples
from clusterjax.report.blocks import GalleryBlock, Strip, StripsBlock, Thumbnail
from clusterjax.report.contents import Gallery, Predictions, Saliency
from clusterjax.report.images import (
    Stretch,
    band_pictures,
    false_colour,
    fit_stretch,
    heat_pictures,
    image_png,
    signed_pictures,
)

_BINARY_TITLES = {
    "false_negative": (
        "Missed",
        "Called “{negative}” although they are “{positive}”; the most confident mistakes first.",
    ),
    "false_positive": ("False alarms", "Called “{positive}” although they are not; the most confident mistakes first."),
    "true_positive": ("Found", "Rightly called “{positive}”, from the surest to the least sure."),
    "true_negative": ("Rejected", "Rightly called “{negative}”, from the surest to the least sure."),
    "uncertain": ("Most uncertain", "Right or wrong, those whose scores are nearest to the threshold."),
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
        groups = {"wrong": chosen.pop("wrong"), **chosen}  # ends with the uncertain
    return {name: rows for name, rows in groups.items() if len(rows)}


def make_gallery(
    predictions: Predictions,
    group: str,
    rows: Integer[np.ndarray, " n"],
    images: Real[np.ndarray, "n y x band"],
    *,
    band_names: Sequence[str] = (),
    saliency: Saliency | None = None,
) -> Gallery:
    """The gallery of one group of :func:`choose_examples`: ``images`` are those of ``rows``, in flux units."""
    names = list(predictions.class_names)
    if predictions.is_binary:
        title, description = _BINARY_TITLES[group]
        description = description.format(negative=names[0], positive=names[1])
    elif group == "wrong":
        title, description = "Mistaken", "True class → called class; the most confident mistakes first."
    elif group == "uncertain":
        title, description = "Most uncertain", "Right or wrong, those whose two likeliest classes are closest."
    else:
        name = group.removeprefix("right: ")
        title, description = f"Right: {name}", "From the surest to the least sure."
    captions = [caption(predictions, int(row)) for row in rows]
    return Gallery(title, np.asarray(images), captions, description, band_names, saliency)


def caption(predictions: Predictions, row: int) -> str:
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


def gallery_blocks(galleries, *, natural: bool) -> list[GalleryBlock | StripsBlock]:
    """Pictures under one common stretch, so that cutouts can be compared with each other."""
    shown = [gallery for gallery in galleries if len(gallery.images)]
    if not shown:
        return []
    same_size = len({gallery.images.shape[1:] for gallery in shown}) == 1
    stretch = fit_stretch(np.concatenate([gallery.images for gallery in shown])) if same_size else None
    return [_gallery_block(gallery, stretch or fit_stretch(gallery.images), natural) for gallery in shown]


def _gallery_block(gallery: Gallery, stretch, natural: bool) -> GalleryBlock | StripsBlock:
    alts = [f"{gallery.title}: {text}".replace("\n", ", ") for text in gallery.captions]
    if gallery.band_names:
        panels = gallery_panels(gallery, stretch, natural=natural)
        strips = [
            Strip([(name, image_png(pictures[i])) for name, pictures in panels.items()], text.split("\n"), alt)
            for i, (text, alt) in enumerate(zip(gallery.captions, alts, strict=True))
        ]
        return StripsBlock(gallery.title, gallery.description, strips)
    pictures = false_colour(gallery.images, stretch, natural=natural)
    thumbnails = [
        Thumbnail(image_png(picture), text.split("\n"), alt)
        for picture, text, alt in zip(pictures, gallery.captions, alts, strict=True)
    ]
    return GalleryBlock(gallery.title, gallery.description, thumbnails)


def gallery_panels(gallery: Gallery, stretch: Stretch, *, natural: bool) -> dict[str, UInt8[np.ndarray, "n y x 3"]]:
    """What stands side by side for each cutout, by name: in colour, each band, and the saliency if there is any."""
    panels = {"colour": false_colour(gallery.images, stretch, natural=natural)}
    if len(gallery.band_names) > 1:
        grey = band_pictures(gallery.images, stretch, natural=natural)
        panels |= {name: grey[..., i, :] for i, name in enumerate(gallery.band_names)}
    if gallery.saliency is not None:
        panels["Grad-CAM"] = heat_pictures(gallery.saliency.grad_cam)
        panels["attribution"] = signed_pictures(gallery.saliency.attribution)
    return panels

"""A scene and its series in, the filled scene and what is known of it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from geot2t.fill import Estimates
from geot2t.filling import Result, Work, fill_whole, open_scene, outputs_of
from geot2t.io.inputs import Given
from geot2t.methods import AUTO
from geot2t.request import Request
from geot2t.stac import Item
from geot2t.stream import Progress


def inpaint(
    scene: str | Path | Item,
    out: str | Path | None = None,
    *,
    series: Given | Sequence[Given] | None = None,
    cloud_mask: str | Path | None = None,
    clouds: str = "auto",
    date: date | None = None,
    max_error: float | None = None,
    max_distance: int = 64,
    keep_nodata: bool = False,
    error: bool = True,
    driver: str | None = None,
    creation_options: Mapping[str, str] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    model: str | Path | Estimates | None = None,
    method: str = AUTO,
    window: int = 256,
    overlap: int = 64,
    batch: int = 1,
    adapt: int = 0,
    sharp: bool = False,
    samples: int = 0,
    report: bool = False,
    seed: int = 0,
    bands: Sequence[str] = (),
    trust_items: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Fill the unobserved pixels of a scene and write the result beside it.

    Observed samples are written bit for bit as they were read. Everything that can be wrong
    with the input or the output is looked at before the first pixel is computed; if anything
    fails, nothing is left behind.

    Parameters
    ----------
    scene : str, Path or Item
        Raster to fill, or the STAC Item of one: its bands then go into one raster, on the
        finest of their grids.
    out : str or Path, optional
        The filled raster; by default ``SCENE_filled.tif`` beside the scene. The quality and
        error rasters and the STAC Item go beside it.
    series : str or Path, or several
        Other dates: directories, files or patterns, STAC items, or a `geot2t.stac.Search`; the
        scene may be among them (see `geot2t.open_stack`). Of more than `MOST_DATES` dates the
        most promising are used (see `geot2t.shortlist`).
    cloud_mask : str or Path, optional
        Raster that is not zero where the scene was not observed.
    clouds : str
        auto, qa, none, or the name of a detector.
    date : datetime.date, optional
        Date of the scene, if its file does not say.
    max_error : float, optional
        Pixels whose 90 % interval is wider than this to either side in any band, in the
        file's units, are not filled.
    max_distance : int
        Pixels that no other date shows are filled up to this many pixels from an observed one.
    keep_nodata : bool
        Fill only what the cloud mask or quality raster marks.
    error : bool
        Write the error raster.
    driver : str, optional
        GTiff or COG; by default what the scene is.
    creation_options : mapping of str to str, optional
        GDAL creation options.
    overwrite : bool
        Replace outputs of an earlier run.
    device : str
        auto, cpu, cuda or cuda:N.
    model : str, Path or Estimates, optional
        A shipped model's name, a ``.safetensors`` file, or the methods themselves.
    method : str
        Used for all bands: ``network``, ``prior``, or a baseline (see `geot2t.baselines`),
        which needs no model. ``auto`` takes for each band whichever of the model's methods the
        self-check finds best.
    window, overlap, batch : int
        Model window and the part that neighbours share, in pixels, and windows at once. A
        batch above 1 may change the last bit of a prediction.
    adapt : int
        Steps of training on the other dates before anything is filled; 0 for none.
    sharp : bool
        Give fills the texture of the ground, at some cost in error (see `geot2t.sharpen`).
    samples : int
        Different plausible fills to write as well (see `geot2t.draws`), and from two on their
        standard deviation.
    report : bool
        Write a page that shows the scene before and after.
    seed : int
        Of the self-check, of adaptation, of drawn texture and of samples.
    bands, trust_items
        Of STAC items; see `geot2t.open_stack`.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Returns
    -------
    Result

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the output cannot be used.
    """
    request = Request(
        clouds=clouds, date=date, max_error=max_error, max_distance=max_distance,
        keep_nodata=keep_nodata, error=error, driver=driver, creation_options=creation_options,
        device=device, model=model, method=method, window=window, overlap=overlap, batch=batch,
        adapt=adapt, sharp=sharp, samples=samples, report=report, seed=seed, bands=bands,
        trust_items=trust_items,
    )  # fmt: skip
    with open_scene(scene, series, cloud_mask, request) as stack:
        path = stack.default_output if out is None else Path(out)
        with outputs_of(stack, path, request, overwrite=overwrite) as outputs:
            work = Work(stack, request)
            return replace(fill_whole(work, outputs, progress), path=path)

"""The notebook tour runs to its end and its objects show themselves."""

from pathlib import Path

import pytest

TOUR = Path(__file__).resolve().parents[1] / "recipes" / "tour.ipynb"


@pytest.mark.slow
def test_the_tour_runs() -> None:
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(TOUR, as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells), "commit the notebook without outputs"
    NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(TOUR.parents[1])}}
    ).execute()
    shown = [
        output
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(shown) >= 13

import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the runs' own reports out: they take longer than the runs of these tests do."""
    monkeypatch.setattr("kerascw.report.product.DRAWN", 0)

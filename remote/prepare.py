"""Data prepared in the cloud: read, counted, tokenised once, and kept on the Volume under a hash of its content, where
trainings find it."""

from typing import Any

from core.config import RunConfig
from core.errors import UserError
from remote import names
from remote.image import app, commit, reload, volumes

MOST_TOKENIZER = 50_000_000  # characters of tokenizer.json that are sent back


@app.function(cpu=4.0, memory=16 * 1024, timeout=6 * 3600, volumes=volumes)
def prepare_data(config: dict[str, Any]) -> dict[str, Any]:
    """{"preview": the fields of core.data.preview.Preview, "tokenizer": tokenizer.json} for the data of a run's
    configuration; {"error": a sentence} if it cannot be used."""
    from core.data.counting import examine

    reload()
    try:
        found, tokenizer = examine(RunConfig.from_dict(config), names.RUNS)
    except UserError as error:
        return {"error": str(error)}
    commit()
    document = tokenizer.to_json()
    return {"preview": found.to_dict(), "tokenizer": document if len(document) <= MOST_TOKENIZER else ""}

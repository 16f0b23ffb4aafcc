"""Train an encoder on training records with Ray Train; interrupted, it goes on from its last checkpoint."""

import shutil

from pydantic import BaseModel

from encoders.distributed import train_on_ray
from encoders.spec import BUNDLED
from encoders.tokenising import tokenise
from encoders.training import TrainingSettings, check_batches
from encoders.training_data import TrainingData
from encoders.workers import WorkerSettings
from ray_jobs.job import EncoderName, Folder, encoder_path, main, require
from ray_jobs.steps import Step, run_step


class TrainEncoderSettings(BaseModel):
    base: EncoderName = BUNDLED
    """Where training starts."""
    records: Folder
    training: TrainingSettings = TrainingSettings()
    workers: WorkerSettings = WorkerSettings()
    output: Folder


def run(settings: TrainEncoderSettings) -> None:
    require(records__path=settings.records.path, base=encoder_path(settings.base))

    def train(step: Step) -> dict[str, float]:
        data = step.scratch / "data"
        if not data.exists():
            aside = step.scratch / "data.unfinished"
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            training = settings.training
            tokenise(settings.records.path, settings.base, training.chunk_tokens, training.term_tokens, aside)
            aside.rename(data)
        check_batches(len(TrainingData(data)), settings.training, settings.workers.number)
        encoder, metrics = train_on_ray(settings.base, data, settings.training, settings.workers, step.scratch)
        encoder.save(step.folder)
        return {"steps": metrics["step"], "loss": metrics["loss"]}

    run_step(
        "train_encoder",
        settings.output.path,
        {"training": settings.training},
        {"base": settings.base, "records": settings.records.path},
        train,
    )


if __name__ == "__main__":
    main(TrainEncoderSettings, run)

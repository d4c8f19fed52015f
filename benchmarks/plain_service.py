"""The service that one writes in ten lines: no batching, no queue, nothing kept. `service.py` runs it."""

import argparse

import uvicorn
from fastapi import FastAPI, UploadFile

import handful
from serving import photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    shots = photos(60)
    encoder = handful.load_encoder("builtin", cached=False)  # what is asked twice is encoded twice
    classifier = handful.FewShotClassifier(encoder=encoder, progress=False)
    classifier.fit(shots, [shot.parent.name for shot in shots])
    app = FastAPI()

    @app.get("/readyz")
    def is_ready() -> str:
        return "ready"

    @app.post("/classify")
    def classify(file: UploadFile) -> dict[str, object]:
        (said,) = classifier.classify([file.file.read()])
        return {"label": said.label, "probability": said.probability, "known": said.known}

    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")


if __name__ == "__main__":
    main()

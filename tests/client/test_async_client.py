"""`handful.AsyncClient`: the same operations, awaited."""

import asyncio
import inspect

import pytest

import handful
from handful.errors import ClientError


def test_both_clients_have_the_same_operations():
    def operations(client):
        return {
            name: [(one.name, one.default, one.kind) for one in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert operations(handful.Client) == operations(handful.AsyncClient)
    assert len(operations(handful.Client)) > 35


def test_operations_show_as_methods_with_what_they_answer():
    shown = inspect.signature(handful.Client.classes)
    assert list(shown.parameters) == ["self", "id"]
    assert "Iterator[handful.client.answers.ClassSummary]" in str(shown.return_annotation)
    assert inspect.getdoc(handful.AsyncClient.classify) == inspect.getdoc(handful.Client.classify)
    assert inspect.iscoroutinefunction(handful.AsyncClient.classify)


def test_a_classifier_is_taught_asked_trained_and_exported(url, trashnet_shots, trashnet, tmp_path):
    async def everything():
        async with handful.AsyncClient(url) as client:
            made = await client.create_classifier("async")
            await client.add_shots(made.id, *trashnet_shots(2, classes=["glass", "metal"]))
            shots = [shot async for shot in client.shots(made.id)]
            assert [shot.label for shot in shots] == ["glass", "glass", "metal", "metal"]
            photos = [trashnet / "glass" / "030.jpg", trashnet / "metal" / "030.jpg"]
            one, two = await asyncio.gather(*(client.classify(made.id, [photo]) for photo in photos))
            both = await client.classify(made.id, photos)
            assert [one.predictions[0].label, two.predictions[0].label] == [
                prediction.label for prediction in both.predictions
            ]
            told = []
            job = await client.train(made.id, "tip-f", options={"epochs": 2})
            done = await client.wait(job, progress=lambda part, _: told.append(part))
            assert (done.status, told[-1]) == ("succeeded", 100)
            assert [job.status async for job in client.events(job.id)][-1] == "succeeded"
            file = await client.export(made.id, tmp_path / "async.zip")
            assert (await client.import_classifier(file)).shots == 4
            with pytest.raises(ClientError, match="no classifier"):
                await client.classifier("none")

    asyncio.run(everything())


def test_iteration_may_stop_early(url):
    async def first():
        async with handful.AsyncClient(url) as client:
            made = await client.create_classifier("many", classes=[f"{n}" for n in range(150)])
            classes = client.classes(made.id)
            name = (await anext(classes)).name
            await classes.aclose()
            return name

    assert asyncio.run(first()) == "0"
    with handful.Client(url) as client:
        assert next(client.classes(client.find_classifier("many").id)).name == "0"

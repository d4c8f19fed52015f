"""The first prototype's endpoints, as its clients call them."""

import httpx2


def cache_of(url, pictures, labels):
    files = [("files", (picture.name, picture.read_bytes())) for picture in pictures]
    return httpx2.post(f"{url}/clip/cache", files=files, data={"labels": labels}, timeout=60)


def test_every_picture_of_a_label_counts(url, handful_client, trashnet_shots, trashnet):
    pictures, labels = trashnet_shots(3, classes=["glass", "metal"])
    made = cache_of(url, pictures, labels)
    assert made.status_code == 200
    assert made.json().keys() == {"message", "cache_id"}
    cache = made.json()["cache_id"]
    assert [one.shots for one in handful_client.classes(cache)] == [3, 3]
    photo = (trashnet / "metal" / "030.jpg").read_bytes()
    said = httpx2.post(
        f"{url}/clip", params={"cache_id": cache}, files={"file": ("a.jpg", photo)}, timeout=60
    )
    assert said.status_code == 200
    assert said.json().keys() == {"message", "predictions"}
    assert said.json()["predictions"] == [handful_client.classify(cache, [photo]).predictions[0].label]


def test_the_world_is_greeted(url):
    answer = httpx2.post(f"{url}/world")
    assert (answer.status_code, answer.json()) == (200, {"message": "Hello World!"})


def test_an_unknown_cache_is_404_and_unequal_counts_are_422(url, handful_client, trashnet_shots):
    before = {one.id for one in handful_client.classifiers()}
    pictures, labels = trashnet_shots(1, classes=["glass", "metal"])
    unknown = httpx2.post(f"{url}/clip", params={"cache_id": "none"}, files={"file": ("a.jpg", b"x")})
    assert unknown.status_code == 404
    for answer in (cache_of(url, pictures, labels[:1]), cache_of(url, [], ["glass"])):
        assert answer.status_code in (415, 422)  # without any file it is no multipart form
        assert answer.headers["content-type"] == "application/problem+json"
    assert {one.id for one in handful_client.classifiers()} == before


def test_a_cache_with_an_unreadable_picture_leaves_nothing(url, handful_client):
    before = {one.id for one in handful_client.classifiers()}
    files = [("files", ("a.jpg", b"no picture"))]
    answer = httpx2.post(f"{url}/clip/cache", files=files, data={"labels": ["glass"]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/files/0"
    assert {one.id for one in handful_client.classifiers()} == before


def test_a_cache_that_is_sent_twice_under_a_key_is_made_once(url, handful_client, trashnet_shots):
    pictures, labels = trashnet_shots(1, classes=["glass", "metal"])
    files = [("files", (picture.name, picture.read_bytes())) for picture in pictures]
    answers = [
        httpx2.post(
            f"{url}/clip/cache",
            files=files,
            data={"labels": labels},
            headers={"Idempotency-Key": "the same cache"},
            timeout=60,
        ).json()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert handful_client.classifier(answers[0]["cache_id"]).shots == 2

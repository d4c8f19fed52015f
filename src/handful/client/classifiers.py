"""Operations on classifiers and their classes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from handful.client.answers import Classifier, ClassSummary, Removal, read
from handful.client.exchange import asked, exchanged
from handful.client.pages import paged
from handful.client.steps import Items, Request, Steps
from handful.errors import ClientError


def create_classifier(
    name: str,
    *,
    encoder: str | None = None,
    method: str | None = None,
    views: str | None = None,
    domain: str | None = None,
    templates: str | Sequence[str] | None = None,
    use_text: bool | None = None,
    unknown_threshold: float | None = None,
    classes: Iterable[str | Mapping[str, Any]] = (),  # Any: JSON of a class
) -> Steps[Classifier]:
    """Make a classifier; what is not given is as the service has it.

    classes : names, or {"name", "description"?, "prompts"?}.
    """
    body = _given(
        name=name,
        encoder=encoder,
        method=method,
        views=views,
        domain=domain,
        templates=templates,
        use_text=use_text,
        unknown_threshold=unknown_threshold,
    )
    named = _classes(classes)
    if named:
        body["classes"] = named
    return answered_classifier(Request(method="POST", path="v1/classifiers", json=body, write=True))


def classifier(id: str) -> Steps[Classifier]:
    """A classifier as it is now."""
    return answered_classifier(Request(method="GET", path=at(id)))


def classifiers() -> Items[Classifier]:
    """All classifiers, page by page."""
    return paged(Classifier, "v1/classifiers")


def find_classifier(id_or_name: str) -> Steps[Classifier]:
    """The classifier of that id, or else the only one of that name.

    Raises ClientError with status 404 for none, and 409 for several of that name.
    """
    if id_or_name and "/" not in id_or_name:
        try:
            return (yield from classifier(id_or_name))
        except ClientError as exc:
            if exc.status not in (404, 422):
                raise
    found = []
    cursor = None
    while True:
        query = {"limit": 100, "cursor": cursor}
        page = yield from asked(Request(method="GET", path="v1/classifiers", query=query))
        found += [item for item in page["items"] if item["name"] == id_or_name]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if not found:
        raise ClientError(f"there is no classifier of id or name {id_or_name!r}", status=404)
    if len(found) > 1:
        ids = ", ".join(item["id"] for item in found[:5])
        raise ClientError(f"{len(found)} classifiers are named {id_or_name!r}; give an id: {ids}", status=409)
    return read(Classifier, found[0])


def update_classifier(
    id: str,
    *,
    name: str | None = None,
    method: str | None = None,
    views: str | None = None,
    domain: str | None = None,
    templates: str | Sequence[str] | None = None,
    use_text: bool | None = None,
    unknown_threshold: float | None = None,
    if_match: str | None = None,
) -> Steps[Classifier]:
    """Change the settings that are given.

    if_match : an `etag`; ClientError with status 412 where the classifier has changed since.
    """
    body = _given(
        name=name,
        method=method,
        views=views,
        domain=domain,
        templates=templates,
        use_text=use_text,
        unknown_threshold=unknown_threshold,
    )
    return answered_classifier(
        Request(method="PATCH", path=at(id), json=body, headers=_if_match(if_match), write=True)
    )


def delete_classifier(
    id: str, *, if_match: str | None = None, dry_run: bool = False
) -> Steps[Removal | None]:
    """Delete a classifier with all it holds.

    if_match : as in `update_classifier`.    dry_run : delete nothing; the answer is what would go.
    """
    return (yield from _deleted(at(id), dry_run, _if_match(if_match)))


def classes(id: str) -> Items[ClassSummary]:
    """All classes of a classifier, page by page."""
    return paged(ClassSummary, at(id, "classes"))


def put_class(
    id: str, name: str, *, description: str | None = None, prompts: Sequence[str] = ()
) -> Steps[ClassSummary]:
    """Make a class, or say other words of one that is there."""
    body = _given(description=description, prompts=list(prompts) or None)
    said = yield from asked(Request(method="PUT", path=at(id, "classes", name), json=body, write=True))
    return read(ClassSummary, said)


def put_classes(id: str, classes: Iterable[str | Mapping[str, Any]]) -> Steps[None]:  # Any: JSON of a class
    """Make many classes at once, or say other words of those that are there; as in `create_classifier`."""
    body = {"classes": _classes(classes)}
    yield from asked(Request(method="POST", path=at(id, "classes"), json=body, write=True))


def rename_class(id: str, name: str, new_name: str) -> Steps[ClassSummary]:
    """Give a class another name; its shots go with it."""
    body = {"name": new_name}
    said = yield from asked(Request(method="PATCH", path=at(id, "classes", name), json=body, write=True))
    return read(ClassSummary, said)


def delete_class(id: str, name: str, *, dry_run: bool = False) -> Steps[Removal | None]:
    """Delete a class with its shots.    dry_run : delete nothing; the answer is what would go."""
    return (yield from _deleted(at(id, "classes", name), dry_run, {}))


def part_of_path(name: str) -> str:
    """An id or name as one part of a path, also where it is "." or "..".

    Left as they are, those would lead somewhere else: to the classifier, in place of its class "..".
    Raises ClientError for a name that is none, being empty or with a "/".
    """
    if not name or "/" in name:
        raise ClientError(f"{name!r} is no id and no name of a class; those are not empty and hold no '/'")
    return quote(name, safe="") if name.strip(".") else "%2E" * len(name)


def at(id: str, *parts: str) -> str:
    """The path of a classifier, or of something in it."""
    return "/".join(["v1/classifiers", *(part_of_path(part) for part in (id, *parts))])


def answered_classifier(request: Request) -> Steps[Classifier]:
    """The classifier that answers a request, with its ETag."""
    response = yield from exchanged(request)
    return read(Classifier, {**response.json(), "etag": response.headers.get("ETag")})


def _deleted(path: str, dry_run: bool, headers: Mapping[str, str]) -> Steps[Removal | None]:
    query = {"dry_run": "true"} if dry_run else {}
    said = yield from asked(
        Request(method="DELETE", path=path, query=query, headers=headers, write=not dry_run)
    )
    return read(Removal, said) if dry_run else None


def _given(**members: Any) -> dict[str, Any]:  # Any: JSON
    return {name: value for name, value in members.items() if value is not None}


def _classes(given: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:  # Any: JSON of a class
    return [{"name": one} if isinstance(one, str) else dict(one) for one in given]


def _if_match(etag: str | None) -> dict[str, str]:
    return {} if etag is None else {"If-Match": etag}

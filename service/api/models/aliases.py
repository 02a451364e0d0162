"""`/models/{name}/aliases`: names of versions that can move from one version to another."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from service import records
from service.api.deps import MAX_VERSION, ModelPath, Services, ServicesDep
from service.api.references import matching
from service.errors import AliasNotFound
from service.http.bodies import request_body
from service.http.front.prefix import Link
from service.http.pagination import Page
from service.http.schema import WHOLE, Body
from service.records import ALIAS_PATTERN
from service.registry.propagation import wait_until_applied

router = APIRouter(tags=["models"])


AliasPath = Annotated[
    str, AfterValidator(matching(ALIAS_PATTERN, AliasNotFound)), Path(description="The name of an alias.")
]
NewAliasPath = Annotated[str, Path(pattern=ALIAS_PATTERN, description="The name of an alias, such as `production`.")]


class AliasTarget(Body):
    """What an alias names."""

    version: Annotated[int, Field(ge=1, le=MAX_VERSION), WHOLE] = Field(description="The number of a version.")


class AliasLinks(BaseModel):
    """The links of an alias."""

    self: Link = Field(description="This alias.")
    version: Link = Field(description="The version that it names.")


class Alias(BaseModel):
    """A name of a version, which can move to another version."""

    object: Literal["model.alias"] = "model.alias"
    model: str = Field(description="The name of the model.")
    alias: str = Field(description="The name of the alias.")
    version: int = Field(description="The version that it names.")
    moved_at: datetime = Field(description="When the alias moved to this version, in UTC.")
    links: AliasLinks

    @classmethod
    def of(cls, alias: records.Alias) -> "Alias":
        """The view of an alias."""
        own = f"/models/{alias.model}"
        return cls(
            model=alias.model,
            alias=alias.alias,
            version=alias.version,
            moved_at=datetime.fromtimestamp(alias.moved_at, UTC),
            links=AliasLinks(self=f"{own}/aliases/{alias.alias}", version=f"{own}/versions/{alias.version}"),
        )


class AliasList(Page[Alias]):
    """The aliases of a model, by name. The id of an alias is its name."""


@router.get("/models/{name}/aliases", response_model=AliasList)
async def list_aliases(name: ModelPath, services: ServicesDep) -> AliasList:
    """Lists the aliases of a model by name, on one page."""
    aliases = await to_thread.run_sync(_aliases, services, name)
    return AliasList.of({alias: Alias.of(one) for alias, one in aliases.items()}, has_more=False)


@router.get("/models/{name}/aliases/{alias}", response_model=Alias)
async def get_alias(name: ModelPath, alias: AliasPath, services: ServicesDep) -> Alias:
    """Returns one alias, with the version that it names."""
    return Alias.of(await to_thread.run_sync(_get, services, name, alias))


@router.put("/models/{name}/aliases/{alias}", response_model=Alias, openapi_extra=request_body.documented(AliasTarget))
async def put_alias(name: ModelPath, alias: NewAliasPath, request: Request, services: ServicesDep) -> Alias:
    """Makes an alias name a version, at once for all requests. Creates the alias if it does not exist.

    `latest` can be moved too, for example to go back to an older version. The next publication moves it again.
    """
    headers = request_body.headers_of(request.scope)
    target = await request_body.read(headers, request.receive, AliasTarget, services.bodies)

    def move() -> records.Alias:
        seq = services.store.versions.move_alias(name, alias, target.version)
        wait_until_applied(services.store, services.registry, seq)
        return _get(services, name, alias)

    return Alias.of(await to_thread.run_sync(move, limiter=services.write_threads))


@router.delete("/models/{name}/aliases/{alias}", status_code=204)
async def delete_alias(name: ModelPath, alias: AliasPath, services: ServicesDep) -> Response:
    """Deletes an alias. The version that it named stays. `latest` cannot be deleted."""

    def remove() -> None:
        seq = services.store.versions.remove_alias(name, alias)
        wait_until_applied(services.store, services.registry, seq)

    await to_thread.run_sync(remove, limiter=services.write_threads)
    return Response(status_code=204)


def _aliases(services: Services, name: str) -> dict[str, records.Alias]:
    services.registry.refresh()
    services.registry.model(name)  # raises
    return {one.alias: one for one in services.store.versions.aliases(name)}


def _get(services: Services, name: str, alias: str) -> records.Alias:
    aliases = _aliases(services, name)
    if alias not in aliases:
        raise AliasNotFound.named(alias, name, aliases)
    return aliases[alias]

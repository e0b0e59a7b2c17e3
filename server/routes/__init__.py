"""All endpoints, by what they are about."""

from typing import Final

from server.paths import Endpoint
from server.routes import (
    blobs,
    care,
    chat,
    cloud,
    create,
    embed,
    generate,
    health,
    models,
    openapi,
    ps,
    rerank,
    tokens,
    transfer,
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *health.ENDPOINTS,
    *generate.ENDPOINTS,
    *chat.ENDPOINTS,
    *embed.ENDPOINTS,
    *rerank.ENDPOINTS,
    *tokens.ENDPOINTS,
    *models.ENDPOINTS,
    *ps.ENDPOINTS,
    *create.ENDPOINTS,
    *blobs.ENDPOINTS,
    *transfer.ENDPOINTS,
    *care.ENDPOINTS,
    *cloud.ENDPOINTS,
    *openapi.ENDPOINTS,
)

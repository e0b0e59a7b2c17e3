"""POST /api/create: a new model, as a stream of events."""

from base64 import b64encode
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore import create as creation
from modelstore.names import Name
from modelstore.progress import Report
from modelstore.store import Store
from server.bodies import read
from server.messages import Message
from server.paths import Endpoint
from server.schema.native import CREATE, CreateRequest
from server.services import services_of


async def create(request: Request) -> Response:
    """What can be refused at once is; everything else happens in the stream."""
    asked = await read(request, CREATE)
    wanted = _wanted(asked)
    creation.check(wanted)
    services = services_of(request)

    def pull(store: Store, name: Name, report: Report) -> None:
        services.transfers.pull(store, name, report)

    def work(report: Report) -> None:
        creation.create(services.store, wanted, report, pull=pull)

    return await services.jobs.respond(request, work, stream=asked.stream)


def _wanted(asked: CreateRequest) -> creation.CreateRequest:
    """The request without its deprecated spellings."""
    return creation.CreateRequest(
        model=asked.model or asked.name,
        base=asked.source,
        files=asked.files,
        adapters=asked.adapters,
        draft_files=asked.draft_files,
        quantize=asked.quantize or asked.quantization,
        draft_quantize=asked.draft_quantize,
        remote_host=asked.remote_host,
        template=asked.template,
        system=asked.system,
        license=asked.license,
        parameters=asked.parameters or {},
        messages=[_message(message) for message in asked.messages],
        renderer=asked.renderer,
        parser=asked.parser,
        requires=asked.requires,
        info=asked.info or {},
    )


def _message(message: Message) -> dict[str, Any]:
    """In the JSON form of the native API, where role and content always stand."""
    members: dict[str, Any] = {"role": message.role, "content": message.content}
    optional: dict[str, Any] = {
        "thinking": message.thinking,
        "images": [b64encode(image).decode() for image in message.images],
        "tool_calls": [
            {
                **({"id": call.id} if call.id else {}),
                "function": {"index": call.index, "name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ],
        "tool_name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }
    return members | {name: value for name, value in optional.items() if value}


ENDPOINTS: Final = (Endpoint("/api/create", create, ("POST",)),)

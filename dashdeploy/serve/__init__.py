"""Serving bundles over the Open Inference Protocol, version 2.

The parts, from the wire inwards:

- `server`: the socket, the signals, the drain; `http_protocol`: the answer to what is not HTTP.
- `app`: the routes and their status codes.
- `body`: request bodies: size limits and decompression.
- `codec`: inference requests and responses, as JSON and with the binary tensor extension.
- `datatypes`: the protocol's names of the element types.
- `models`: the loaded models, by name.
"""

from dashdeploy.serve.server import serve
from dashdeploy.serve.settings import BatchPolicy, ServeSettings

__all__ = ["BatchPolicy", "ServeSettings", "serve"]

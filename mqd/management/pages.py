"""The one page for people: what this is, and where the API is.

Decides its text. Never shows anything of the broker.
"""

from __future__ import annotations

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>mqd management</title></head>
<body>
<h1>mqd management HTTP API</h1>
<p>The API is at <code>{prefix}/api</code>, for example
<a href="{prefix}/api/overview">{prefix}/api/overview</a>; its paths and answers are those of
RabbitMQ 3.10. The pages of the management UI are not there yet.</p>
<p>The manual pages mqd-management(7) and mqd-differences(7) tell what is.</p>
</body>
</html>
"""

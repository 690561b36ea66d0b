"""The page on a port: Gradio's part, and the run's report, samples and experiments beside it."""

import csv
import html
import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from tonetune.core.errors import UserError
from tonetune.page.blocks import STYLE, gr

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REPORT, SAMPLES = Path("reports/evaluation.html"), Path("reports/samples.md")
ONLY_CHANGED = ("exp", "show", "--csv", "--only-changed")


def application(blocks: gr.Blocks, host: str) -> FastAPI:
    """The page and its links; on loopback it answers to no other name, so no web site can reach it by one of its own."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"])

    @app.get("/report")
    def report() -> Response:
        return _file(REPORT, HTMLResponse)

    @app.get("/samples")
    def samples() -> Response:
        return _file(SAMPLES, PlainTextResponse)

    @app.get("/experiments")
    def experiments() -> Response:
        command = [sys.executable, "-m", "dvc", *ONLY_CHANGED]
        shown = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
        if shown.returncode:
            return PlainTextResponse(f"`dvc exp show` fails:\n{shown.stderr}", status_code=503)
        return HTMLResponse(experiments_page(shown.stdout))

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])  # none fetched
    return gr.mount_gradio_app(
        app, blocks, "/", footer_links=[], theme=theme, css_paths=STYLE, ssr_mode=False, enable_monitoring=False
    )


def _file(path: Path, kind: type[Response]) -> Response:
    if not path.exists():
        return PlainTextResponse(f"{path}: no such file; `dvc repro` makes it", status_code=404)
    return kind(path.read_text(encoding="utf-8"))


def experiments_page(table: str) -> str:
    """The CSV of `dvc exp show` as a page."""
    rows = list(csv.reader(io.StringIO(table)))
    head, *body = rows or [[]]

    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Experiments</title><style>:root{color-scheme:light dark}body{font-family:system-ui}"
        "div{overflow-x:auto}td,th{padding:.2em .6em;text-align:left;white-space:nowrap}</style>"
        f"<h1>dvc exp show</h1><div><table>{line(head, 'th')}{''.join(line(row, 'td') for row in body)}</table></div>"
    )


def listener(host: str, port: int) -> socket.socket:
    """A socket on which the page can be served; a `UserError` if the port is taken or the address is none of ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}; choose another") from None
    return found


def serve(app: FastAPI, found: socket.socket) -> None:
    """Serve until Ctrl-C."""
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[found])

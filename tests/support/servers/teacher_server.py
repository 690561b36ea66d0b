"""An OpenAI-compatible server on loopback that answers what the pipeline asks, slowly and with faults on demand."""

import asyncio
import hashlib
import json
import random
import threading
import time
from collections import Counter

from aiohttp import web

from tests.support.servers.teacher_replies import completion, digest, error, half_a_body, reply_to

HTTP_FAULTS = ("429", "500", "503", "hang", "reset", "half a body")
BATCH_FAULTS = ("429", "500", "reset", "500 afterwards", "reset afterwards")
MODEL_FAULTS = ("invalid JSON", "empty choice", "refusal", "declines", "cut off", "other language")


class TeacherServer:
    """Runs in a thread of its own; use it as a context manager, and change its attributes at any time."""

    def __init__(self, latency=0.0, slots=1000, fault_rate=0.0, faults=HTTP_FAULTS + MODEL_FAULTS, seed=1):
        self.latency, self.slots, self.fault_rate, self.faults, self.seed = latency, slots, fault_rate, faults, seed
        self.most_faults = 3  # of one request
        self.structured = True
        self.key = None  # what Authorization must hold
        self.repeats = False  # always the same list
        self.always = None  # a status and an error that every request gets
        self.newer = False  # knows max_completion_tokens only
        self.most_tokens = None  # that a newer model writes
        self.batch_seconds, self.batch_broken, self.batch_fault_rate = 0.0, 0.0, 0.0
        self.most_broken = 1  # of one line
        self.offers_batches = True
        self.calls, self.batch_faults, self.in_a_row = Counter(), Counter(), Counter()  # by the endpoint's handler
        self.submissions = []  # (time, digests of the bodies)
        self.expire_next = False
        self.ends = []  # how the next batches end, in turn: "failed", "cancelled", "expired"
        self.failure = "Enqueued token limit reached"  # what a batch that failed says
        self.spoilt = 0.0  # share of the lines of results that are there twice, not JSON, or of nobody
        self.lost_lines = 0.0  # share of the lines that the results lack, once each
        self.arrivals = []  # (time, digest of the body)
        self.attempts, self.successes, self.made = Counter(), Counter(), Counter()
        self.busy = self.busiest = 0
        self.files, self.batches, self.unauthorised = {}, {}, 0

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _serve(self, ready):
        asyncio.set_event_loop(self.loop)
        application = web.Application(client_max_size=2**30)
        for path in ("/v1/chat/completions", "/{mixture}/v1/chat/completions"):
            application.router.add_post(path, self.chat)
        application.router.add_post("/v1/files", self.flaky(self.upload))
        application.router.add_get("/v1/files/{name}/content", self.flaky(self.content))
        application.router.add_post("/v1/batches", self.flaky(self.create_batch))
        application.router.add_get("/v1/batches", self.flaky(self.list_batches))
        application.router.add_get("/v1/batches/{name}", self.flaky(self.show_batch))
        self.gate = asyncio.Semaphore(self.slots)
        runner = web.AppRunner(application, access_log=None)
        self.loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        self.loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(runner.cleanup())

    # Chat

    async def chat(self, request):
        sent = await request.read()
        body = json.loads(sent)
        name = digest(body)
        self.arrivals.append((time.time(), name))
        self.attempts[name] += 1
        if (problem := self.refuse(request, body)) is not None:
            return problem
        async with self.gate:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            try:
                await asyncio.sleep(self.latency)
            finally:
                self.busy -= 1
        fault = self.draw(name)
        if fault in HTTP_FAULTS:
            return await self.break_off(request, fault, body)
        response = web.json_response(completion(body, self.answer(body, fault), fault))
        if fault == "invalid JSON":
            return web.Response(text="{not json", content_type="application/json")
        if fault is None:
            self.successes[name] += 1
        return response

    def refuse(self, request, body):
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            self.unauthorised += 1
            echo = request.headers.get("Authorization")
            return error(401, f"Incorrect API key provided: {echo}", "invalid_api_key")
        if self.always:
            return error(*self.always)
        problem = self.problem(body)
        return error(*problem) if problem else None

    def problem(self, body):
        """The status, message and code by which a body is refused, sent by itself or as a line of a batch."""
        if body["model"] != "test-model":
            return 404, f"The model {body['model']} does not exist", "model_not_found"
        if "response_format" in body and not self.structured:
            return 400, "response_format of type json_schema is not supported", "unsupported"
        if "max_tokens" in body and self.newer:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, message, "unsupported_parameter"
        if self.most_tokens is not None and body.get("max_completion_tokens", 0) > self.most_tokens:
            return 400, f"max_completion_tokens is too large: at most {self.most_tokens}", "invalid_value"
        return None

    def draw(self, name):
        if self.made[name] >= self.most_faults:
            return None
        dice = random.Random(f"{self.seed}/{name}/{self.attempts[name]}")
        if dice.random() >= self.fault_rate:
            return None
        self.made[name] += 1
        fault = dice.choice(self.faults)
        return "500" if fault == "hang" and self.attempts[name] > 1 else fault  # once: it takes the client's timeout

    async def break_off(self, request, fault, body):
        if fault == "hang":
            await asyncio.sleep(30)
        elif fault == "reset":
            request.transport.abort()
        elif fault == "half a body":
            return await half_a_body(request, completion(body, self.answer(body, None), None))
        return error(
            int(fault) if fault.isdigit() else 500,
            f"fault: {fault}",
            None,
            {"Retry-After": "0.1"} if fault == "429" else {},
        )

    def answer(self, body, fault):
        messages = body["messages"]
        if messages[0]["role"] == "user":
            rounds = 1 if self.repeats else sum(message["role"] == "user" for message in messages)
            subject = hashlib.sha256(messages[0]["content"].encode()).hexdigest()[:4]
            marks = [hashlib.sha256(f"{subject}/{rounds}/{i}".encode()).hexdigest() for i in range(50)]
            questions = [f"What is {mark[:9]} to {mark[10:19]} or {mark[20:29]}?" for mark in marks]
            if "response_format" in body:
                return json.dumps({"questions": questions})
            return "\n".join(f"{i}. {text}" for i, text in enumerate(questions, 1))
        return reply_to(messages, fault)

    # Files and batches

    def flaky(self, handler):
        """The handler, which fails at times before or after it has done what it was asked."""

        async def handle(request):
            if not self.offers_batches:
                return error(404, "Not Found", None)
            name = handler.__name__
            self.calls[name] += 1
            dice = random.Random(f"{self.seed}/{name}/{self.calls[name]}")
            if self.in_a_row[name] >= self.most_faults or dice.random() >= self.batch_fault_rate:
                self.in_a_row[name] = 0
                return await handler(request)
            self.in_a_row[name] += 1
            self.batch_faults[name] += 1
            fault, *afterwards = dice.choice(BATCH_FAULTS).split()
            if afterwards:
                await handler(request)
            return await self.break_off(request, fault, None)

        return handle

    async def upload(self, request):
        form = await request.post()
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read().decode()
        return web.json_response(
            {
                "id": name,
                "object": "file",
                "bytes": 1,
                "created_at": 1,
                "filename": "x",
                "purpose": "batch",
                "status": "processed",
            }
        )

    async def content(self, request):
        return web.Response(text=self.files[request.match_info["name"]])

    async def create_batch(self, request):
        asked = await request.json()
        name = f"batch-{len(self.submissions)}"
        self.batches[name] = {
            "id": name, "object": "batch", "created_at": 1, "completion_window": "24h", "status": "in_progress",
            "endpoint": asked["endpoint"], "input_file_id": asked["input_file_id"], "metadata": asked.get("metadata"),
            "until": time.time() + self.batch_seconds, "expires": self.expire_next,
            "ends": self.ends.pop(0) if self.ends else "",
        }  # fmt: skip
        self.expire_next = False
        lines = map(json.loads, self.files[asked["input_file_id"]].splitlines())
        self.submissions.append((time.time(), [digest(line["body"]) for line in lines]))
        return web.json_response(self.shown(name))

    async def list_batches(self, request):
        return web.json_response(
            {"object": "list", "data": [self.shown(name) for name in self.batches], "has_more": False}
        )

    async def show_batch(self, request):
        name = request.match_info["name"]
        if name not in self.batches:
            return error(404, f"No batch found with id '{name}'", None)
        batch = self.batches[name]
        if batch["status"] == "in_progress" and time.time() >= batch["until"]:
            self.work_off(name, batch)
        return web.json_response(self.shown(name))

    def shown(self, name):
        return {key: value for key, value in self.batches[name].items() if key not in ("until", "expires", "ends")}

    def work_off(self, name, batch):
        if batch["ends"] == "failed":
            batch |= {"status": "failed", "errors": {"data": [{"message": self.failure}]}}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        output, errors = [], []
        for number, line in enumerate(lines):
            if (batch["expires"] or batch["ends"] in ("expired", "cancelled")) and number >= len(lines) // 2:
                continue
            body, key = line["body"], digest(line["body"])
            if problem := self.problem(body):
                status, message, code = problem
                refusal = {"status_code": status, "body": {"error": {"message": message, "code": code}}}
                errors.append({"custom_id": line["custom_id"], "response": refusal, "error": None})
                continue
            dice = random.Random(f"{self.seed}/{key}/{self.made[key]}")
            if dice.random() < self.lost_lines and self.made[key] < self.most_broken:
                self.made[key] += 1
                continue
            if dice.random() < self.batch_broken and self.made[key] < self.most_broken:
                self.made[key] += 1
                errors.append(
                    {
                        "custom_id": line["custom_id"],
                        "response": {"status_code": 500, "body": {"error": {"message": "broken"}}},
                    }
                )
                continue
            self.successes[key] += 1
            response = {"status_code": 200, "body": completion(body, self.answer(body, None), None)}
            output.append({"custom_id": line["custom_id"], "response": response, "error": None})
        for kind, rows in (("output_file_id", output), ("error_file_id", errors)):
            if rows:
                batch[kind] = f"file-{len(self.files)}"
                written = [json.dumps(row, ensure_ascii=False) for row in rows]
                self.files[batch[kind]] = "\n".join(self.spoil(written))
        batch["status"] = batch["ends"] or ("expired" if batch["expires"] else "completed")

    def spoil(self, rows):
        """The lines of results with others between them: the same again, half of one, one of nobody, and nothing."""
        dice = random.Random(f"{self.seed}/{len(self.files)}")
        spoilt = []
        for row in rows:
            spoilt.append(row)
            if dice.random() < self.spoilt:
                stranger = json.dumps(json.loads(row) | {"custom_id": "nobody's"})
                spoilt.append(dice.choice((row, row[: len(row) // 2], stranger, "", "null", "[]", '"text"')))
        if self.spoilt:
            dice.shuffle(spoilt)
        return spoilt

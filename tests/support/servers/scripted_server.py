"""A server of the tests that answers as a function says."""

from aiohttp import web

from tests.support.servers.teacher_replies import completion
from tests.support.servers.teacher_server import TeacherServer


class ScriptedServer(TeacherServer):
    """Answers as the function `does` says, of the body and the count of requests; keeps the bodies."""

    def __init__(self, does, **settings):
        super().__init__(**settings)
        self.does, self.bodies, self.keys = does, [], []

    async def chat(self, request):
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        answer = self.does(body, len(self.bodies))
        return answer if answer is not None else web.json_response(completion(body, self.answer(body, None), None))

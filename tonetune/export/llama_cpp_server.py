"""llama.cpp's server for one GGUF file, as anybody would run it: a script of its own that imports nothing of tonetune.

`python -I llama_cpp_server.py FILE NAME CONTEXT THREADS` prints its address and serves until its stdin closes.
"""

import signal
import sys

import xllamacpp


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # in a terminal Ctrl-C stops an answer of the chat, not its server
    file, name, context, threads = sys.argv[1:]
    settings = xllamacpp.CommonParams()
    settings.model.path = file
    settings.model_alias = {name}
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_ctx, settings.n_parallel = int(context), 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = int(threads)
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


main()

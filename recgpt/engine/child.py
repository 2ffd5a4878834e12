"""The process that holds the packaged model.

    python -m recgpt.engine.child WEIGHTS ALIAS SLOTS CONTEXT THREADS WAITING

It serves an OpenAI-compatible API on 127.0.0.1, on a port the operating system picks, says the address on the first
line of its standard output when it can answer, and logs to standard error. It ends when its standard input does: the
parent holds the other end, and the operating system closes that even when the parent is killed.
"""

import os
import sys

import xllamacpp

# Prompts that lost their slot are kept in memory, so that tasks that take turns don't re-read their instructions.
PROMPT_CACHE_MIB = 256


def main(weights: str, alias: str, slots: int, context: int, threads: int, waiting: int) -> None:
    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the library logs where it likes; only the address goes to the parent
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [os.environ.pop("RECGPT_ENGINE_KEY")]
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = waiting + 2  # each waiting request holds one
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.n_gpu_layers = 0  # the same answers on every machine
    params.ui = False
    params.offline = True
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        sys.exit(f"{error}")  # the library has logged why; a traceback would only hide it
    print(server.listening_address, file=say, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # nothing to put away, and a request in progress would hold an orderly end up


if __name__ == "__main__":
    path, name, *numbers = sys.argv[1:]
    main(path, name, *(int(number) for number in numbers))

"""A runner without an engine: it speaks frames on its pipes and does what prompts and file names tell it to.

Weights called `fail…` are refused, `oom…` for want of memory; `die…`, `exit…` and `leave…` end the process while
loading, `hang…` never load, `slow…` load with signs of life, `retry…` after a complaint. A prompt says, separated by
spaces, what happens: `say:x`, `log:line`, `raw`, `fail:text`, `exit:3`, `kill`, `done`, `close`; without an end it
stays open. With `--deaf` it hangs before it reads anything.
"""

import os
import signal
import sys
import threading
import time
from typing import BinaryIO

from scheduler import frames

OUT: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)


def send(*reports: frames.Report) -> None:
    OUT.write(b"".join(map(frames.encode, reports)))


def log(text: str) -> None:
    os.write(2, (text + "\n").encode())


def die(how: int) -> None:
    os.kill(os.getpid(), how)
    time.sleep(60)


def load(frame: frames.Load) -> None:
    name = os.path.basename(frame.weights[0])
    log(f"loading {name} GGML_NO_BACKTRACE={os.environ.get('GGML_NO_BACKTRACE')}")
    if name.startswith("fail"):
        send(frames.LoadFailed("unknown model architecture: 'x'", unsupported=True))
        sys.exit(1)
    if name.startswith("oom"):
        log("ggml_backend_cuda_buffer_type_alloc_buffer: error: cudaMalloc failed: out of memory")
        send(frames.LoadFailed("unable to load model"))
        sys.exit(1)
    if name.startswith("die"):
        log("llama_model_load: error loading model: tensor is odd")
        die(signal.SIGABRT)
    if name.startswith("exit"):
        sys.exit(3)
    if name.startswith("leave"):
        log("error: nothing to do here")
        sys.exit(0)
    if name.startswith("retry"):
        log("graph_reserve: compute buffer allocation failed, retrying without pipeline parallelism")
    if name.startswith("hang"):
        log("error: last words")
        return
    if name.startswith("slow"):
        for i in range(10):
            time.sleep(0.03)
            send(frames.Progress(i / 10))
    log("error: only a warning of the start")
    send(
        frames.Loaded(
            num_ctx=frame.num_ctx,
            num_ctx_train=0,
            vocab_size=1,
            embedding_width=1,
            add_bos=False,
            bos="",
            eos="",
            can_shift=True,
            buffers=[],
            layers_offloaded=0,
            layers_total=0,
        )
    )


def generate(frame: frames.Generate) -> None:
    for word in frame.prompt.split():
        verb, _, text = word.partition(":")
        match verb:
            case "say":
                send(frames.Step([frames.Delta(frame.id, text)], []))
            case "done":
                send(frames.Step([frames.Delta(frame.id, "!")], [frames.Done(frame.id, "stop", 1, 0, 1, 1, 1)]))
            case "fail":
                send(frames.Failed(frame.id, text.replace("_", " "), 500))
            case "log":
                log(text.replace("_", " "))
            case "raw":
                OUT.write(b"\xff\xff\xff\xffnoise")
            case "exit":
                sys.exit(int(text))
            case "kill":
                die(signal.SIGKILL)
            case "close":
                OUT.close()
                os.close(1)
            case "flood":
                os.write(2, b"x" * int(text))
            case _:
                raise AssertionError(word)


def answer(frame: frames.Command) -> None:
    match frame:
        case frames.Load():
            load(frame)
        case frames.Generate():
            generate(frame)
        case frames.Embed():
            vectors = [os.environ.get(name, "").encode() for name in frame.inputs]
            send(frames.Embedded(frame.id, vectors, len(frame.inputs)))
        case frames.Rank():
            send(frames.Ranked(frame.id, [float(len(text)) for text in frame.documents], len(frame.documents)))
        case frames.Tokenize(texts=["never"]):
            pass
        case frames.Tokenize():
            send(frames.Tokens(frame.id, [len(text) for text in frame.texts]))
        case frames.Detokenize():
            send(frames.Text(frame.id, "".join(map(chr, frame.tokens))))
        case frames.Cancel():
            log(f"cancelled {frame.id}")
            send(frames.Step([frames.Delta(frame.id + 1, f"cancelled {frame.id}")], []))


def main() -> None:
    if "--stubborn" in sys.argv:
        threading.Thread(target=time.sleep, args=(60,)).start()
    if "--deaf" in sys.argv:
        time.sleep(60)
    reader = frames.command_reader()
    while data := os.read(0, 1 << 16):
        for frame in reader.feed(data):
            answer(frame)


if __name__ == "__main__":
    main()

"""The reading end: a thread that takes frames from the daemon as they come.

What needs only the vocabulary is answered or prepared here, beside a running decode; the rest goes to the loop's
inbox. When the daemon closes the pipe, or dies, the process ends at once.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeAlias

import msgspec

from scheduler import frames
from scheduler.runner.constrain.constraints import ConstraintError
from scheduler.runner.embedding import embed, rank
from scheduler.runner.embedding.embed import EmbedError, EmbedJob
from scheduler.runner.limits import Fit, PromptTooLong, fit_prompt
from scheduler.runner.loaded import LoadedModel
from scheduler.runner.media.picture import MediaError
from scheduler.runner.media.reader import spoken
from scheduler.runner.sampling.chain import SamplingError
from scheduler.runner.sequence import Job, Media
from scheduler.runner.text.stops import StopStrings

Question: TypeAlias = frames.Generate | frames.Embed | frames.Rank | frames.Tokenize | frames.Detokenize
Work: TypeAlias = Job | EmbedJob | frames.Cancel
_CHUNK: Final = 1 << 16


class UnsupportedInput(Exception):
    """The model does not take this kind of input. The client's fault."""


class Intake:
    """Reads commands from a file descriptor."""

    def __init__(self, descriptor: int, answer: Callable[[frames.Frame], None]) -> None:
        self._descriptor = descriptor
        self._answer = answer
        self._loads: SimpleQueue[frames.Load] = SimpleQueue()
        self._model: LoadedModel | None = None
        self.inbox: SimpleQueue[Work] = SimpleQueue()

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="intake", daemon=True).start()

    def load(self) -> frames.Load:
        """Wait for the first frame."""
        return self._loads.get()

    def serve(self, model: LoadedModel) -> None:
        """From now on requests can be answered."""
        self._model = model

    def _read(self) -> None:
        reader = frames.command_reader()
        while data := os.read(self._descriptor, _CHUNK):
            for frame in reader.feed(data):
                self._take(frame)
        os._exit(0)  # nobody is left to answer, and native code may be anywhere: no destructors

    def _take(self, frame: frames.Command) -> None:
        if isinstance(frame, frames.Load):
            self._loads.put(frame)
            return
        if isinstance(frame, frames.Cancel):
            self.inbox.put(frame)
            return
        try:
            if self._model is None:
                raise RuntimeError("the model is not loaded yet")
            self._prepare(frame, self._model)
        except (PromptTooLong, EmbedError, UnsupportedInput, ConstraintError, MediaError, SamplingError) as error:
            self._answer(frames.Failed(frame.id, str(error), 400))
        except Exception as error:  # whatever is wrong with one request must not end the others
            self._answer(frames.Failed(frame.id, f"failed to process inputs: {error}"))

    def _prepare(self, frame: Question, model: LoadedModel) -> None:
        vocabulary = model.vocabulary
        if isinstance(frame, frames.Tokenize):
            tokens = [vocabulary.tokenize(text, add_special=frame.add_special) for text in frame.texts]
            self._answer(frames.Tokens(frame.id, list(map(len, tokens)), [] if frame.count_only else tokens))
        elif isinstance(frame, frames.Detokenize):
            self._answer(frames.Text(frame.id, vocabulary.detokenize(frame.tokens)))
        elif isinstance(frame, frames.Embed | frames.Rank):
            self.inbox.put(_embedding(frame, model))
        else:
            self.inbox.put(_generation(frame, model))


def _embedding(frame: frames.Embed | frames.Rank, model: LoadedModel) -> EmbedJob:
    if (isinstance(frame, frames.Rank) or model.scores) and not model.ranks:
        raise EmbedError(rank.NO_HEAD)
    batch = model.context.physical_batch if model.embedding else model.num_ctx
    if isinstance(frame, frames.Rank):
        limit = min(model.num_ctx, batch)
        return rank.prepare(
            frame,
            model.vocabulary,
            limit=limit,
            template=model.model.rank_template,
            architecture=model.model.metadata("general.architecture"),
        )
    raw = None if model.scores else model.raw_embeddings
    return embed.prepare(frame, model.vocabulary, limit=model.num_ctx, batch=batch, raw=raw)


def _generation(frame: frames.Generate, model: LoadedModel) -> Job:
    if model.embedding:
        raise ValueError("this model turns text into vectors and does not generate")
    if frame.images:
        return _with_media(frame, model)
    tokens = model.vocabulary.prompt_tokens(frame.prompt)
    if not tokens:
        raise ValueError("no input provided")
    fit = fit_prompt(
        tokens,
        model.num_ctx,
        num_keep=frame.num_keep,
        adds_bos=model.vocabulary.add_bos,
        truncate=frame.truncate,
        shift=frame.shift and model.context.can_shift,
    )
    return _job(frame, fit, model, {})


def _with_media(frame: frames.Generate, model: LoadedModel) -> Job:
    """Pictures and clips cannot be cut, nor moved afterwards: such a prompt fits as it is or not at all."""
    if model.media is None:
        raise UnsupportedInput(
            "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
        )
    tokens: list[int] = []
    media: dict[int, Media] = {}
    for segment in model.media.read(frame.prompt, frame.images):
        if isinstance(segment, list):
            tokens += segment
        else:
            media[len(tokens)] = segment
            tokens += segment.ids
    fit = fit_prompt(tokens, model.num_ctx, num_keep=0, adds_bos=False, truncate=False, shift=False)
    frame = msgspec.structs.replace(frame, prompt=spoken(frame.prompt), shift=False)
    return _job(frame, fit, model, media)


def _job(frame: frames.Generate, fit: Fit, model: LoadedModel, media: dict[int, Media]) -> Job:
    """What takes long is done here, on the reader's thread."""
    return Job(
        frame,
        fit,
        model.chain(frame.sampling, [token for token in fit.tokens if token >= 0]),
        stops=StopStrings(frame.stop),
        preserved=model.control_tokens(frame.preserved),
        matcher=model.matcher(frame.constraint) if frame.constraint else None,
        media=media,
    )

"""A reply on its way to the screen, and the figures behind it."""

import io

from server.cli.reply import Printer, statistics


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def nothing() -> None:
    pass


def printed(*events: dict[str, object], thinking: bool = True, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    printer = Printer(out, wrap=True, thinking=thinking, begin=nothing)
    for event in events:
        printer.event(event)
    printer.close_thinking()
    printer.stop()
    return out.getvalue()


def test_a_pipe_gets_the_text_alone() -> None:
    long = "word " * 50
    assert printed({"response": long}, {"response": "x"}, {"response": "", "done": True}) == long + "x"


def test_thinking_stands_between_two_lines() -> None:
    assert printed({"thinking": "hm"}, {"thinking": "m"}, {"response": "Yes."}) == (
        "Thinking...\nhmm\n...done thinking.\n\nYes."
    )


def test_thinking_that_ends_its_own_line_gets_no_second_one() -> None:
    assert printed({"message": {"thinking": "hm\n"}}, {"message": {"content": "Yes."}}) == (
        "Thinking...\nhm\n...done thinking.\n\nYes."
    )


def test_hidden_thinking_is_remembered_but_not_shown() -> None:
    out = io.StringIO()
    printer = Printer(out, wrap=False, thinking=False, begin=nothing)
    printer.event({"thinking": "hm"})
    printer.event({"response": "Yes."})
    assert (out.getvalue(), printer.thought, printer.answer) == ("Yes.", "hm", "Yes.")


def test_thinking_without_an_answer_is_closed_once() -> None:
    assert printed({"thinking": "hm"}) == "Thinking...\nhm\n...done thinking.\n\n"


def test_a_terminal_gets_colours_that_end() -> None:
    text = printed({"thinking": "hm"}, {"response": "Yes."}, out=Screen())
    assert text.count("\x1b[0m") == 2
    assert text.endswith("\x1b[0mYes.")


def test_an_interrupted_thought_leaves_no_colour_behind() -> None:
    screen = Screen()
    printer = Printer(screen, wrap=True, thinking=True, begin=nothing)
    printer.event({"thinking": "hm"})
    printer.stop()
    assert screen.getvalue().endswith("hm\x1b[0m")


def test_a_terminal_wraps_words() -> None:
    assert "\n" in printed({"response": "word " * 50}, out=Screen())


def test_the_wait_ends_with_the_first_visible_text() -> None:
    calls: list[str] = []
    printer = Printer(io.StringIO(), wrap=False, thinking=False, begin=lambda: calls.append("begin"))
    printer.event({"response": ""})
    printer.event({"thinking": "hm"})
    assert calls == []
    printer.event({"response": "a"})
    printer.event({"response": "b"})
    assert calls == ["begin"]


def test_a_tool_call_is_named() -> None:
    call = {"function": {"name": "f", "arguments": {"x": 1}}}
    assert printed({"message": {"tool_calls": [call]}}) == (
        "  Model called a non-existent function 'f()' with arguments: {\"x\":1}\n"
    )


def test_statistics_are_aligned() -> None:
    final = {
        "total_duration": 4_668_752_417,
        "load_duration": 62_125_000,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 130_079_000,
        "eval_count": 298,
        "eval_duration": 4_469_831_000,
    }
    assert statistics(final) == (
        "total duration:       4.668752417s\n"
        "load duration:        62.125ms\n"
        "prompt eval count:    26 token(s)\n"
        "prompt eval duration: 130.079ms\n"
        "prompt eval rate:     199.88 tokens/s\n"
        "eval count:           298 token(s)\n"
        "eval duration:        4.469831s\n"
        "eval rate:            66.67 tokens/s\n"
    )


def test_what_is_zero_is_left_out() -> None:
    assert statistics({"total_duration": 1_000_000_000, "eval_count": 3}) == (
        "total duration:       1s\neval count:           3 token(s)\n"
    )

"""FunctionGemma prompts."""

from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

render = RENDERERS["functiongemma"]
DECLARED = (
    "You can do function calling with the following functions:<start_function_declaration>declaration:get_weather{"
    "description:<escape>Get weather<escape>,parameters:{properties:{city:{description:<escape>City name<escape>,"
    "type:<escape>STRING<escape>},days:{description:<escape><escape>,type:<escape>INTEGER<escape>}},"
    "required:[<escape>city<escape>],type:<escape>OBJECT<escape>}}<end_function_declaration>"
)
TAIL = (
    "<start_of_turn>user\nWeather in Paris?<end_of_turn>\n<start_of_turn>model\nChecking."
    "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:2}<end_function_call>"
    "<start_function_response>response:get_weather{<escape>22C<escape>}<end_function_response>"
)


def test_a_call_and_its_result() -> None:
    assert render(EXAMPLE, [], True) == f"<bos><start_of_turn>developer\nBe brief.<end_of_turn>\n{TAIL}"


def test_tools_are_declared_by_the_developer() -> None:
    assert render(EXAMPLE, [WEATHER], None) == (
        f"<bos><start_of_turn>developer\nBe brief.\n{DECLARED}<end_of_turn>\n{TAIL}"
    )
    assert render([], [WEATHER], None) == (
        f"<bos><start_of_turn>developer\n{DECLARED}<end_of_turn>\n<start_of_turn>model\n"
    )


def test_the_introduction_is_not_said_twice() -> None:
    own = Message("developer", "You can do function calling with the following functions:")
    assert render([own], [WEATHER], None).count("You can do") == 1


def test_only_the_first_type_is_told() -> None:
    properties = {"p": Property(type=["string", "null"], enum=["a"]), "a": Property(any_of=[Property(type=["string"])])}
    tool = Tool(name="f", parameters=Parameters(properties=properties))
    assert (
        "declaration:f{description:<escape><escape>,parameters:{properties:{a:{description:<escape><escape>},"
        "p:{description:<escape><escape>,type:<escape>STRING<escape>}}}}<end_function_declaration>"
    ) in render([], [tool], None)


def test_results_are_counted_off_against_the_calls() -> None:
    calls = [ToolCall("a", {"x": None, "n": 1000000, "d": 1234567.5, "l": [1.5, "s"]}), ToolCall("b", {})]
    results = [Message("tool", "1"), Message("tool", "2"), Message("tool", "3", tool_name="c")]
    assert render([Message("assistant", "", tool_calls=calls), *results, Message("assistant", " so")], [], None) == (
        "<bos><start_of_turn>model\n<start_function_call>call:a{d:1.2345675e+06,l:[1.5,<escape>s<escape>],n:1000000,"
        "x:<nil>}<end_function_call><start_function_call>call:b{}<end_function_call><start_function_response>"
        "response:a{<escape>1<escape>}<end_function_response>"
        "<start_function_response>response:b{<escape>2<escape>}<end_function_response>"
        "<start_function_response>response:c{<escape>3<escape>}<end_function_response>so<end_of_turn>\n"
        "<start_of_turn>model\n"
    )


def test_calls_without_results_end_the_turn() -> None:
    assert render(EXAMPLE[:3], [], None).endswith("<end_function_call><end_of_turn>\n<start_of_turn>model\n")

"""Where models go: the choice of GPUs, of layers, of width, and what the runner is told."""

import dataclasses

import pytest

from scheduler.choice import Choice, choose_gpus
from scheduler.devices import Device, Host, Snapshot, Usage, account, available
from scheduler.errors import InsufficientMemory
from scheduler.ladder import UNREDUCED, Ladder
from scheduler.placement import Placement, Wish, place
from scheduler.plan import Evict, Refuse, Resident, Start, Survey, Target, decide, environment, load_frame
from scheduler.requests import Block, Limits, ModelFacts
from scheduler.spec import default_context, resolve
from tests.unit.scheduler.fakes import GB, cuda, wish

GIB = 1 << 30
MB, MIB = 10**6, 1 << 20
BIG_HOST = Host(total=64 * GB, free=64 * GB, threads=8)

LLAMA = ModelFacts(
    architecture="llama",
    block_count=32,
    blocks=(Block(weights=140 * MB, keys=1024, values=1024),) * 32,
    context_length=131072,
    embedding_length=4096,
    head_count=32,
    query_length=4096,
    inner_length=14336,
    vocab_size=128256,
    input_bytes=300 * MB,
    output_bytes=400 * MB,
    weights_bytes=5 * GB,
)
"""About 5 GB of weights, and half a gigabyte of cache for 4,096 tokens."""


def gpu(name: str, free: int, *, integrated: bool = False) -> Device:
    """`CUDA0` with so many GB free."""
    library = name.rstrip("0123456789")
    return Device(name, library, name, 2 * free * GB, free * GB, integrated=integrated)  # pyright: ignore[reportArgumentType]


# -- available and accounted memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "gpus", "size", "limited"),
    [
        (80, [gpu("Metal0", 300, integrated=True)], 80, True),
        (6, [gpu("Vulkan0", 12, integrated=True)], 6, True),
        (6, [gpu("CUDA0", 12)], 12, False),
        (6, [gpu("CUDA0", 12), gpu("Vulkan0", 10, integrated=True)], 18, True),
        (20, [gpu("Metal0", 12, integrated=True)], 12, False),
    ],
)
def test_available_memory(system: int, gpus: list[Device], size: int, limited: bool) -> None:
    found = available(gpus, system * GB)
    assert (found.size, found.limited_by_system) == (size * GB, limited)


def test_unknown_system_memory_limits_nothing() -> None:
    assert available([gpu("Metal0", 12, integrated=True)], None).size == 12 * GB


def test_known_use_is_taken_off_what_lags_behind() -> None:
    gpus = (cuda(900, 1000, id="a"), cuda(1900, 2000, id="b"), cuda(5, 10, id="c"))
    seen = account(Snapshot(BIG_HOST, gpus), [Usage({"a": 50, "b": 50}), Usage({"a": 125, "b": 75})])
    assert [one.free for one in seen.gpus] == [825, 1875, 5]


def test_more_use_than_memory_leaves_none() -> None:
    seen = account(Snapshot(Host(100, 50), (cuda(900, 1000),)), [Usage({"GPU-0": 2000}, host=1000)])
    assert seen.gpus[0].free == 0
    assert seen.host.free == 0


@pytest.mark.parametrize(("total", "context"), [(80, 262144), (48, 262144), (24, 32768), (8, 4096), (0, 4096)])
def test_the_default_context_follows_the_memory_of_all_gpus(total: int, context: int) -> None:
    half = cuda(total * GIB // 2)
    assert default_context((half, half), 0) == context


def test_memory_set_aside_does_not_count_and_never_below_zero() -> None:
    assert default_context((cuda(24 * GIB),), 2 * GIB) == 4096
    assert default_context((cuda(24 * GIB), cuda(1 * GIB)), 1 * GIB) == 32768
    assert default_context((cuda(24 * GIB), cuda(1)), 1 * GIB) == 32768


# -- choice of GPUs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "predicted", "options", "chosen", "main_gpu"),
    [
        (["CUDA0:10", "CUDA1:20"], 8, {}, ["CUDA1"], 0),
        (["CUDA0:10", "ROCm0:20", "ROCm1:24"], 8, {"main_gpu": 1}, ["ROCm1"], 0),
        (["Metal0:32i", "Metal1:16"], 12, {"system_free": 14 * GB}, ["Metal1"], 0),
        (["Vulkan0:32i", "Vulkan1:10"], 8, {}, ["Vulkan1"], 0),
        (["CUDA0:10", "CUDA1:20"], 8, {"spread": True}, ["CUDA0", "CUDA1"], None),
        (["CUDA0:10", "CUDA1:18", "ROCm0:12"], 30, {}, ["CUDA0", "CUDA1"], None),
        (["CUDA0:10", "CUDA1:20"], 8, {"main_gpu": 5}, ["CUDA0", "CUDA1"], 5),
        (["CUDA0:10"], 8, {"main_gpu": 1}, ["CUDA0"], 1),
        ([], 8, {}, [], None),
    ],
)
def test_the_choice_of_gpus(
    gpus: list[str], predicted: int, options: dict[str, object], chosen: list[str], main_gpu: int | None
) -> None:
    devices: list[Device] = []
    for text in gpus:
        name, _, size = text.partition(":")
        devices.append(gpu(name, int(size.rstrip("i")), integrated=size.endswith("i")))
    settings: dict[str, object] = {"main_gpu": None, "spread": False, "system_free": 64 * GB}
    got = choose_gpus(devices, predicted * GB, **(settings | options))  # pyright: ignore[reportArgumentType]
    assert got == Choice(tuple(one for one in devices if one.name in chosen), main_gpu)


# -- the placement ------------------------------------------------------------------------------------------------


def placed(
    *gpus: Device,
    facts: ModelFacts = LLAMA,
    host: Host = BIG_HOST,
    limits: Limits | None = None,
    ladder: Ladder = UNREDUCED,
    platform: str = "linux",
    **options: object,
) -> Placement:
    limits = limits or Limits()
    request = wish("a", **options)
    request = dataclasses.replace(request, model=dataclasses.replace(request.model, facts=facts))
    tier = default_context(gpus, limits.gpu_overhead)
    return place(Wish(facts, resolve(request, limits, tier), ladder), Snapshot(host, gpus, platform), limits)


def test_the_widest_that_fits_is_taken_without_shrinking_the_context() -> None:
    assert placed(cuda(24 * GB), num_ctx=4096).parallel == 4
    narrow = placed(cuda(11 * GB), num_ctx=16384)
    assert (narrow.parallel, narrow.num_ctx, narrow.whole) == (1, 16384, True)
    two = placed(cuda(13 * GB), num_ctx=16384)
    assert (two.parallel, two.num_ctx) == (2, 16384)


def test_no_width_is_bought_with_layers() -> None:
    placement = placed(cuda(5 * GB), num_ctx=4096)
    assert placement.parallel == 1
    assert not placement.whole
    assert 0 < placement.gpu_layers < 33
    assert placement.num_gpu == placement.gpu_layers
    assert sum(placement.usage.gpus.values()) <= 5 * GB


def test_layers_that_do_not_fit_stay_in_the_memory_of_the_host() -> None:
    """With the vectors of the tokens, which are never on a GPU, and what the processor computes with."""
    placement = placed(cuda(5 * GB), num_ctx=4096)
    blocks = 33 - placement.gpu_layers
    assert placement.usage.host > LLAMA.input_bytes + blocks * (140 * MB + 2 * 2048 * 4096)
    assert placement.usage.host < LLAMA.input_bytes + blocks * (140 * MB + 2 * 2048 * 4096) + GB


def test_the_vectors_of_the_tokens_stay_in_the_memory_of_the_host() -> None:
    whole = placed(cuda(24 * GB), num_ctx=4096)
    assert whole.usage.host == LLAMA.input_bytes
    tied = dataclasses.replace(LLAMA, shared_bytes=LLAMA.input_bytes)
    both = placed(cuda(24 * GB), num_ctx=4096, facts=tied)
    assert both.usage.host == LLAMA.input_bytes
    assert both.usage.gpus["GPU-0"] == whole.usage.gpus["GPU-0"] + LLAMA.input_bytes, "the output has a copy"


def test_a_width_that_was_asked_for_stands() -> None:
    assert placed(cuda(6 * GB), num_ctx=4096, limits=Limits(num_parallel=3)).parallel == 3


def test_a_load_that_gave_up_context_is_no_wider_than_it_must_be() -> None:
    """Else what was given up would go to more sequences."""
    assert placed(cuda(24 * GB), ladder=Ladder(num_ctx=4096)).parallel == 1
    assert placed(cuda(24 * GB), ladder=Ladder(clear=True), num_ctx=4096).parallel == 4


def test_on_the_host_width_needs_room_to_spare() -> None:
    assert placed(num_ctx=4096).parallel == 4
    tight = placed(num_ctx=4096, host=Host(total=8 * GB, free=6 * GB))
    assert (tight.parallel, tight.whole, tight.num_gpu, tight.use_mmap) == (1, True, 0, None)


def test_all_layers_are_minus_one() -> None:
    placement = placed(cuda(24 * GB), num_ctx=4096)
    assert (placement.num_gpu, placement.gpu_layers, placement.split) == (-1, 33, (33,))


def test_a_number_of_layers_that_was_asked_for_is_passed_on() -> None:
    assert placed(cuda(24 * GB), num_gpu=10).num_gpu == 10
    assert placed(cuda(24 * GB), num_gpu=999).num_gpu == 999
    assert placed(cuda(24 * GB), num_gpu=0).gpus == ()
    unknown = placed(num_gpu=99)
    assert unknown.num_gpu == 99
    assert environment(unknown) == {}, "the engine may know of GPUs that we do not"


@pytest.mark.parametrize(("asked", "layers"), [(0, 0), (1, 1), (10, 10), (33, 33), (999, 33), (-1, 33)])
def test_as_many_layers_as_were_asked_for_go_to_the_gpu(asked: int, layers: int) -> None:
    placement = placed(cuda(24 * GB), num_ctx=4096, num_gpu=asked)
    assert placement.gpu_layers == sum(placement.split) == layers
    assert bool(placement.gpus) == (layers > 0)


def test_layers_that_were_asked_for_go_to_a_gpu_that_is_too_small_for_them() -> None:
    placement = placed(cuda(2 * GB), num_ctx=4096, num_gpu=20)
    assert (placement.gpu_layers, placement.whole) == (20, False)


def test_one_gpu_is_enough_where_one_is_enough() -> None:
    placement = placed(cuda(24 * GB, id="a"), cuda(40 * GB, id="b"), num_ctx=4096)
    assert ([one.id for one in placement.gpus], placement.main_gpu) == (["b"], 0)


def test_as_few_gpus_as_hold_the_model() -> None:
    eight = tuple(cuda(3 * GB, id=str(n)) for n in range(8))
    placement = placed(*eight, num_ctx=4096, limits=Limits(num_parallel=1))
    assert (len(placement.gpus), placement.num_gpu, placement.main_gpu) == (3, -1, None)
    assert max(placement.split) - min(placement.split) <= 2, "they share it evenly"
    assert all(used < 3 * GB for used in placement.usage.gpus.values())


def test_all_gpus_where_the_operator_wants_them_all() -> None:
    eight = tuple(cuda(4 * GB, id=str(n)) for n in range(8))
    spread = placed(*eight, num_ctx=4096, limits=Limits(num_parallel=1, spread=True))
    assert (len(spread.gpus), sum(spread.split), min(spread.split) > 0) == (8, 33, True)
    pair = placed(cuda(24 * GB, id="a"), cuda(40 * GB, id="b"), num_ctx=4096, limits=Limits(spread=True))
    assert [one.id for one in pair.gpus] == ["b", "a"], "the larger one has the first layers"
    assert pair.split[0] > pair.split[1] > 0


def test_what_eight_gpus_do_not_hold_they_share_with_the_host() -> None:
    eight = tuple(cuda(1100 * MB, id=str(n)) for n in range(8))
    placement = placed(*eight, num_ctx=2048, num_batch=64, limits=Limits(num_parallel=1))
    assert 0 < placement.gpu_layers < 33
    assert not placement.whole
    assert all(used <= 1100 * MB for used in placement.usage.gpus.values())


def test_gpus_of_different_sizes_get_what_they_hold() -> None:
    placement = placed(cuda(3 * GB, id="a"), cuda(6 * GB, id="b"), num_ctx=4096, limits=Limits(num_parallel=1))
    assert [one.id for one in placement.gpus] == ["b", "a"]
    assert sum(placement.split) == 33
    assert placement.usage.gpus["a"] <= 3 * GB
    assert placement.usage.gpus["b"] <= 6 * GB


def test_the_gpu_that_was_named_has_it_alone() -> None:
    placement = placed(cuda(24 * GB, id="a"), cuda(40 * GB, id="b"), num_ctx=4096, main_gpu=0)
    assert ([one.id for one in placement.gpus], placement.main_gpu) == (["a"], 0)
    too_small = placed(cuda(5 * GB, id="a"), cuda(40 * GB, id="b"), num_ctx=4096, main_gpu=0)
    assert ([one.id for one in too_small.gpus], too_small.whole) == (["a"], False)


def test_a_model_never_spans_libraries() -> None:
    placement = placed(gpu("CUDA0", 4), gpu("ROCm0", 5), num_ctx=4096)
    assert [one.name for one in placement.gpus] == ["ROCm0"]
    assert 0 < placement.gpu_layers < 33


def test_memory_that_was_set_aside_is_left_free() -> None:
    free = placed(cuda(10 * GB), num_ctx=4096, limits=Limits(num_parallel=1))
    aside = placed(cuda(10 * GB), num_ctx=4096, limits=Limits(num_parallel=1, gpu_overhead=5 * GB))
    assert (free.whole, aside.whole) == (True, False)
    assert 0 < aside.gpu_layers < free.gpu_layers
    assert sum(aside.usage.gpus.values()) <= 5 * GB
    none = placed(cuda(10 * GB), num_ctx=4096, limits=Limits(gpu_overhead=20 * GB))
    assert (none.gpu_layers, none.gpus) == (0, ())


def test_a_gpu_that_shares_the_memory_of_the_host_offers_no_more_than_is_free_there() -> None:
    host = Host(total=16 * GB, free=4 * GB)
    shared = gpu("CUDA0", 40, integrated=True)
    assert placed(shared, num_ctx=4096, host=host).whole is False
    assert placed(shared, num_ctx=4096).whole is True


def test_a_gpu_without_room_for_a_layer_gets_none() -> None:
    placement = placed(cuda(400 * MB), num_ctx=4096)
    assert (placement.gpus, placement.num_gpu, placement.gpu_layers) == ((), 0, 0)
    assert placement.usage.gpus == {}


def test_a_projector_keeps_its_room_free() -> None:
    with_projector = dataclasses.replace(LLAMA, projector_bytes=GB)
    plain = placed(cuda(5 * GB), num_ctx=4096).gpu_layers
    placement = placed(cuda(5 * GB), num_ctx=4096, facts=with_projector)
    assert placement.projector_on_gpu
    assert placement.gpu_layers < plain


SEEING = dataclasses.replace(LLAMA, block_count=80, blocks=LLAMA.blocks[:1] * 80, projector_bytes=933 * MIB)


@pytest.mark.parametrize(("free", "there"), [(24 * GIB, True), (7900 * MIB, True), (1500 * MIB, False)])
def test_a_projector_goes_where_there_is_room_for_it_and_what_it_computes_with(free: int, there: bool) -> None:
    assert placed(cuda(free), num_ctx=4096, facts=SEEING).projector_on_gpu is there


@pytest.mark.parametrize(("num_gpu", "there"), [(0, False), (10, False), (80, False), (81, True), (999, True)])
def test_beside_a_part_of_the_layers_the_projector_stays_on_the_host(num_gpu: int, there: bool) -> None:
    assert placed(cuda(24 * GIB), num_ctx=4096, facts=SEEING, num_gpu=num_gpu).projector_on_gpu is there


def test_the_smallest_of_the_gpus_decides_about_the_projector() -> None:
    """Both are needed for the layers, and one has no room for the projector: it is on neither."""
    facts = dataclasses.replace(LLAMA, projector_bytes=GB)
    one = Limits(num_parallel=1)
    small = cuda(2 * GB, id="b")
    pair = placed(cuda(6 * GB, id="a"), small, num_ctx=4096, num_batch=64, facts=facts, limits=one)
    assert ({gpu.id for gpu in pair.gpus}, pair.projector_on_gpu) == ({"a", "b"}, False)
    alone = placed(cuda(24 * GB, id="a"), small, num_ctx=4096, num_batch=64, facts=facts, limits=one)
    assert ([gpu.id for gpu in alone.gpus], alone.projector_on_gpu) == (["a"], True)


def test_a_projector_counts_where_it_is() -> None:
    """On the first GPU, or in the memory of the host, and never twice."""
    there = placed(cuda(40 * GB), num_ctx=4096, facts=SEEING, num_gpu=81)
    none = dataclasses.replace(SEEING, projector_bytes=0)
    without = placed(cuda(40 * GB), num_ctx=4096, facts=none, num_gpu=81)
    assert there.usage.gpus["GPU-0"] == without.usage.gpus["GPU-0"] + SEEING.projector_bytes
    assert there.usage.host == without.usage.host
    part = placed(cuda(40 * GB), num_ctx=4096, facts=SEEING, num_gpu=10)
    plain = placed(cuda(40 * GB), num_ctx=4096, facts=none, num_gpu=10)
    assert part.usage.gpus == plain.usage.gpus
    assert part.usage.host == plain.usage.host + SEEING.projector_bytes
    host, bare = placed(num_ctx=4096, facts=SEEING), placed(num_ctx=4096, facts=none)
    assert host.usage.host == bare.usage.host + SEEING.projector_bytes
    moved = placed(cuda(40 * GB), num_ctx=4096, facts=SEEING, ladder=Ladder(projector_on_host=True))
    assert (moved.projector_on_gpu, moved.num_gpu) == (False, -1)
    assert moved.usage.host == without.usage.host + SEEING.projector_bytes


def test_a_draft_model_counts_with_its_cache_unless_it_is_not_used() -> None:
    drafted = dataclasses.replace(LLAMA, drafter=ModelFacts(weights_bytes=GB))
    layers = placed(cuda(5 * GB), num_ctx=4096).gpu_layers
    with_draft = placed(cuda(5 * GB), num_ctx=4096, facts=drafted)
    assert with_draft.gpu_layers < layers
    assert sum(with_draft.usage.gpus.values()) > GB
    assert placed(cuda(5 * GB), num_ctx=4096, facts=drafted, draft_num_predict=-1).gpu_layers == layers


def test_the_batch_never_exceeds_the_cells() -> None:
    embedding = dataclasses.replace(LLAMA, embedding=True)
    assert placed(facts=embedding, num_ctx=40960).num_batch == 2048
    assert placed(facts=embedding, num_ctx=1024).num_batch == 1024
    two = placed(num_ctx=1024, num_batch=4096, limits=Limits(num_parallel=2))
    assert two.num_batch == 2048
    assert placed(num_ctx=64, limits=Limits(num_parallel=1)).num_batch == 64


def test_a_header_without_blocks_goes_whole_or_not_at_all() -> None:
    bare = ModelFacts(weights_bytes=GB)
    assert placed(cuda(24 * GB), facts=bare).num_gpu == -1
    assert placed(cuda(24 * GB), facts=bare, ladder=Ladder(cuts=3)).num_gpu == 0


def test_cut_layers_stay_on_the_host() -> None:
    placement = placed(cuda(24 * GB), ladder=Ladder(num_ctx=4096, cuts=1))
    assert (placement.gpu_layers, placement.num_ctx) == (22, 4096)


# -- attention and cache ------------------------------------------------------------------------------------------

MODERN, OLD = (8, 6), (5, 2)
QUANTISED = Limits(kv_cache_type="q8_0", num_parallel=1)


def test_a_gpu_that_is_not_used_has_no_say_in_flash_attention() -> None:
    new, old = cuda(24 * GB, id="new", compute=MODERN), cuda(8 * GB, id="old", compute=OLD)
    placement = placed(new, old, num_ctx=4096, limits=QUANTISED)
    assert [one.id for one in placement.gpus] == ["new"]
    assert (placement.flash_attention, placement.kv_type, placement.kv_complaint) == (None, "q8_0", "")


def test_a_gpu_without_flash_attention_that_is_used_turns_it_off() -> None:
    new, old = cuda(8 * GB, id="new", compute=MODERN), cuda(24 * GB, id="old", compute=OLD)
    placement = placed(new, old, num_ctx=4096, limits=QUANTISED)
    assert [one.id for one in placement.gpus] == ["old"]
    assert (placement.flash_attention, placement.kv_type) == (False, "f16")
    assert "OLLAMA_FLASH_ATTENTION must be enabled" in placement.kv_complaint
    both = placed(new, old, num_ctx=4096, limits=dataclasses.replace(QUANTISED, spread=True))
    assert len(both.gpus) == 2
    assert both.flash_attention is False


def test_a_gpu_that_gets_no_layer_has_no_say_either() -> None:
    """Also where all GPUs are wanted: this one has no room for any."""
    new, old = cuda(24 * GB, id="new", compute=MODERN), cuda(400 * MB, id="old", compute=OLD)
    placement = placed(new, old, num_ctx=4096, limits=dataclasses.replace(QUANTISED, spread=True))
    assert [one.id for one in placement.gpus] == ["new"]
    assert (placement.flash_attention, placement.kv_type) == (None, "q8_0")


def test_the_word_of_the_operator_stands_whatever_the_gpus_can_do() -> None:
    new, old = cuda(8 * GB, id="new", compute=MODERN), cuda(24 * GB, id="old", compute=OLD)
    on = placed(new, old, num_ctx=4096, limits=dataclasses.replace(QUANTISED, flash_attention=True))
    assert (on.flash_attention, on.kv_type) == (True, "q8_0")
    off = placed(new, old, num_ctx=4096, limits=dataclasses.replace(QUANTISED, flash_attention=False))
    assert (off.flash_attention, off.kv_type) == (False, "f16")


def test_a_gpu_that_is_too_small_for_anything_leaves_the_processor_its_own_way() -> None:
    placement = placed(cuda(400 * MB, compute=MODERN), num_ctx=4096)
    assert placement.gpus == ()
    assert (placement.flash_attention, placement.projector_on_gpu) == (False, False)


@pytest.mark.parametrize(("head", "kind"), [(128, "q8_0"), (96, "q8_0"), (80, "f16"), (0, "q8_0")])
def test_heads_that_are_no_multiple_of_a_block_are_stored_as_they_are(head: int, kind: str) -> None:
    """And counted so: the engine would refuse."""
    odd = dataclasses.replace(LLAMA, blocks=(dataclasses.replace(LLAMA.blocks[0], head=head),) * 32)
    placement = placed(num_ctx=4096, facts=odd, limits=QUANTISED)
    assert placement.kv_type == kind
    assert bool(placement.kv_complaint) is (kind == "f16")
    exact = placed(num_ctx=4096, facts=LLAMA, limits=Limits(num_parallel=1))
    assert (placement.usage.host >= exact.usage.host) is (kind == "f16")


# -- the next step ------------------------------------------------------------------------------------------------


def step(
    residents: list[Resident], snapshot: Snapshot | None, *, most: int = 3, **changes: object
) -> Survey | Evict | Start | Refuse:
    limits = Limits(num_parallel=1)
    request = wish("a", **changes)
    return decide(Target(request, resolve(request, limits, 4096)), residents, snapshot, limits=limits, most=most)


def test_what_blocks_for_certain_needs_no_look_at_the_devices() -> None:
    other = Resident("b", 1, False, Usage({}))
    assert step([Resident("a", 1, True, Usage({})), other], None) == Evict(("a",))
    assert step([other], None, most=1) == Evict(("b",))
    assert step([other], None) == Survey()
    assert step([], None) == Survey()


def test_a_machine_that_can_never_hold_it_says_so() -> None:
    small = Snapshot(Host(total=10, free=10, swap_free=5))
    assert isinstance(step([], small, weights_bytes=10**6), Refuse)
    plenty = Snapshot(Host(total=10, free=10, swap_free=10**9))
    assert isinstance(step([], plenty, weights_bytes=10**6), Start)
    mac = dataclasses.replace(small, platform="darwin")
    assert isinstance(step([], mac, weights_bytes=10**6), Start)


def test_the_refusal_tells_both_figures() -> None:
    refused = step([], Snapshot(Host(total=10, free=10)), weights_bytes=10**7)
    assert isinstance(refused, Refuse)
    assert isinstance(refused.error, InsufficientMemory)
    assert refused.error.available == 10
    assert refused.error.needed >= 10**7
    assert str(refused.error) == "model requires more system memory (9.5 MiB) than is available (10 B)"


def test_what_the_runner_is_told() -> None:
    request = wish("a", projectors=("p",), adapters=("x",), num_ctx=2048, use_mmap=True)
    limits = Limits(num_parallel=2, kv_cache_type="q8_0", flash_attention=True)
    target = Target(request, resolve(request, limits, 4096))
    snapshot = Snapshot(BIG_HOST, (cuda(24 * GB),))
    start = decide(target, [], snapshot, limits=limits, most=3)
    assert isinstance(start, Start)
    frame = load_frame(target, start.placement, snapshot, limits)
    assert (frame.weights, frame.projectors, frame.adapters) == (["a"], ["p"], [("x", 1.0)])
    assert (frame.num_ctx, frame.parallel, frame.num_batch, frame.num_thread) == (2048, 2, 512, 8)
    assert (frame.use_mmap, frame.flash_attention, frame.kv_cache_type) == (True, True, "q8_0")
    assert environment(start.placement) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-0"}


def test_the_runner_is_told_how_the_gpus_share_the_layers() -> None:
    request = wish("a", num_ctx=4096)
    request = dataclasses.replace(request, model=dataclasses.replace(request.model, facts=LLAMA))
    limits = Limits(num_parallel=1)
    target = Target(request, resolve(request, limits, 4096))
    snapshot = Snapshot(BIG_HOST, (cuda(3 * GB, id="a"), cuda(6 * GB, id="b")))
    start = decide(target, [], snapshot, limits=limits, most=3)
    assert isinstance(start, Start)
    frame = load_frame(target, start.placement, snapshot, limits)
    assert frame.tensor_split == list(start.placement.split)
    assert len(frame.tensor_split) == 2
    assert environment(start.placement)["CUDA_VISIBLE_DEVICES"] == "b,a"


@pytest.mark.parametrize(("asked", "files", "told"), [(None, ["d"], 0), (7, ["d"], 7), (0, [], -1), (-1, [], -1)])
def test_who_asks_for_no_guesses_gets_no_draft_model(asked: int | None, files: list[str], told: int) -> None:
    request = wish("a", draft=("d",), draft_num_predict=asked)
    target = Target(request, resolve(request, Limits(), 4096))
    start = decide(target, [], Snapshot(BIG_HOST, ()), limits=Limits(), most=3)
    assert isinstance(start, Start)
    frame = load_frame(target, start.placement, Snapshot(BIG_HOST, ()), Limits())
    assert (frame.draft, frame.draft_num_predict) == (files, told)


def test_host_memory_for_prefixes() -> None:
    """An eighth of what is free, within bounds, unless the operator says otherwise; embedding models have none."""

    def given(limits: Limits, **facts: bool) -> int:
        request = wish("a", **facts)
        target = Target(request, resolve(request, limits, 4096))
        start = decide(target, [], Snapshot(BIG_HOST, ()), limits=limits, most=3)
        assert isinstance(start, Start)
        return load_frame(target, start.placement, Snapshot(BIG_HOST, ()), limits).archive_bytes

    assert 0 < given(Limits()) <= min(BIG_HOST.free // 8, 4 << 30)
    assert given(Limits(prefix_memory=0)) == 0
    assert given(Limits(prefix_memory=12345)) == 12345

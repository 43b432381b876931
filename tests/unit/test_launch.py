"""A task as steps, the command of a step, and what is reported when a child ends badly. Children are real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.conftest import MakeTree
from tests.running import wait_for_end
from ymir_detectron2 import launch
from ymir_detectron2.contract.monitor import Monitor, read_monitor
from ymir_detectron2.contract.task import Task, load_task
from ymir_detectron2.errors import ConfigError, ExecutorError, StoppedError
from ymir_detectron2.launch import Step, _command, _environment, exit_status_error, plan, run_step
from ymir_detectron2.stop_signal import StopSignal
from ymir_detectron2.version import PROJECT_DIR

MINING_AND_INFERENCE = {"run_mining": True, "run_infer": True}
ENV_FILE = Path("env.yaml")
THREE_MACHINES = "--num-machines 3 --machine-rank 1 --dist-url tcp://node0:29500"


@pytest.fixture
def task(ymir_tree: MakeTree) -> Task:
    return dataclasses.replace(load_task(ymir_tree().env_file), run_training=False)


def changed(task: Task, *, gpu_ids: tuple[int, ...] | None = (), config: dict | None = None, **flags: bool) -> Task:
    return dataclasses.replace(task, gpu_ids=gpu_ids, config={**task.config, **(config or {})}, **flags)


@pytest.mark.parametrize(
    ("flags", "scripts"),
    [
        ({"run_training": True}, ["ymir_train.py"]),
        ({"run_mining": True}, ["ymir_mining.py"]),
        ({"run_infer": True}, ["ymir_infer.py"]),
        (MINING_AND_INFERENCE, ["ymir_mining.py", "ymir_infer.py"]),
    ],
)
def test_steps_share_the_progress_without_gap(task: Task, flags: dict, scripts: list[str]):
    steps = plan(changed(task, **flags))
    assert [step.script for step in steps] == scripts
    assert steps[0].first == 0.0
    assert steps[-1].last == 1.0
    assert all(before.last == after.first for before, after in zip(steps, steps[1:]))


@pytest.mark.parametrize(
    ("flags", "finding"),
    [
        ({}, "none of run_training, run_mining and run_infer is true"),
        ({"run_training": True, "run_mining": True}, "run_training and run_mining are true"),
        ({"run_training": True, "run_infer": True}, "run_training and run_infer are true"),
        ({"run_training": True, **MINING_AND_INFERENCE}, "run_training and run_mining and run_infer are true"),
    ],
)
def test_flags_that_contradict_each_other(task: Task, flags: dict, finding: str):
    with pytest.raises(ConfigError, match=f"^env.yaml: {finding}"):
        plan(changed(task, **flags))


@pytest.mark.parametrize("flags", [{"run_training": True}, MINING_AND_INFERENCE], ids=["training", "prediction"])
@pytest.mark.parametrize(
    ("gpu_ids", "args_options", "processes"),
    [(None, "", 1), ((), "", 1), ((0,), "", 1), ((0, 1, 3), "", 3), ((0, 1), "--num-gpus 1", 1),
     ((), "--num-gpus 2", 2), (None, None, 1), (None, "--num-gpus 4", 4), ((4, 5, 6), "--num-gpus 2", 2)],
)  # fmt: skip
def test_every_step_gets_one_process_per_gpu(
    task: Task, flags: dict, gpu_ids: tuple[int, ...] | None, args_options: str | None, processes: int
):
    steps = plan(changed(task, gpu_ids=gpu_ids, config={"args_options": args_options}, **flags))
    assert {step.processes for step in steps} == {processes}


@pytest.mark.parametrize("flag", ["run_training", "run_mining", "run_infer"])
def test_more_processes_than_gpus(task: Task, flag: str):
    with pytest.raises(ConfigError, match=r"--num-gpus 3 is more than gpu_id names \(2\)"):
        plan(changed(task, gpu_ids=(0, 1), config={"args_options": "--num-gpus 3"}, **{flag: True}))


@pytest.mark.parametrize(
    ("algorithm", "share"),
    [(None, 0.98), ("", 0.98), ("cald", 0.98), (5, 0.98), ("random", 0.02), (" Random\n", 0.02)],
)
def test_the_step_that_runs_the_network_has_the_progress(task: Task, algorithm: object, share: float):
    steps = plan(changed(task, config={"mining_algorithm": algorithm}, **MINING_AND_INFERENCE))
    assert [(step.first, step.last) for step in steps] == [(0.0, share), (share, 1.0)]


@pytest.mark.parametrize(
    ("args_options", "launcher"),
    [
        ("", None),
        ("--num-gpus 2", "--standalone --nproc_per_node 2"),
        (THREE_MACHINES, "--nnodes 3 --node_rank 1 --master_addr node0 --master_port 29500 --nproc_per_node 1"),
    ],
    ids=["one process", "two processes", "three machines"],
)
def test_the_command_of_every_step(task: Task, args_options: str, launcher: str | None):
    steps = plan(changed(task, config={"args_options": args_options}, **MINING_AND_INFERENCE))
    for step, progress in zip(steps, ("--progress 0.0 0.98", "--progress 0.98 1.0")):
        command = " ".join(_command(step, ENV_FILE))
        assert command.endswith(f"/{step.script} --env env.yaml {progress}")
        assert ("ymir_detectron2.distributed_launcher" in command) == step.needs_launcher == (launcher is not None)
        assert launcher is None or f"distributed_launcher {launcher} --monitor_interval 0.2 " in command


def test_the_processors_are_shared_by_the_processes(task: Task, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    alone, shared = (
        _environment(plan(changed(task, run_infer=True, config={"args_options": text}))[0])
        for text in ("", "--num-gpus 1000")
    )
    assert "OMP_NUM_THREADS" not in alone
    assert shared["OMP_NUM_THREADS"] == "1"
    assert alone["OMP_WAIT_POLICY"] == shared["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopSignal().install()
    for number, handler in before.items():
        signal.signal(number, handler)


def step_that_runs(folder: Path, code: str) -> Step:
    script = folder / "script.py"
    result = f"from pathlib import Path\nresult = Path({str(folder / 'r')!r})\n"
    script.write_text("import os, signal, sys, time\n" + result + code)
    return Step(str(script), 0.0, 1.0, folder / "r", 1)


def test_a_step_that_writes_its_result(tmp_path: Path, task: Task, stop: StopSignal):
    run_step(step_that_runs(tmp_path, "result.write_text(' '.join(sys.argv[1:]))"), ENV_FILE, stop)
    assert (tmp_path / "r").read_text() == "--env env.yaml --progress 0.0 1.0"


@pytest.mark.parametrize("age_s", [None, 86_400, 0, -86_400])
def test_a_step_without_its_result(tmp_path: Path, stop: StopSignal, age_s: int | None):
    """The result of an earlier run is none, not even one that a clock which was ahead has dated in the future."""
    if age_s is not None:
        (tmp_path / "r").write_text("old")
        os.utime(tmp_path / "r", (time.time() - age_s,) * 2)
    with pytest.raises(ExecutorError, match=r"script\.py ended without .*/r; the lines above say what it did"):
        run_step(step_that_runs(tmp_path, ""), ENV_FILE, stop)


def test_a_result_that_a_file_server_dates_by_its_own_clock(tmp_path: Path, stop: StopSignal):
    (tmp_path / "r").write_text("of an earlier run")
    code = "Path('new').write_text('new')\nos.utime('new', (1, 1))\nos.replace('new', result)"
    run_step(step_that_runs(tmp_path, f"os.chdir({str(tmp_path)!r})\n{code}"), ENV_FILE, stop)
    assert (tmp_path / "r").read_text() == "new"


def test_only_machine_0_writes_a_result(tmp_path: Path, task: Task, stop: StopSignal):
    options = plan(changed(task, run_infer=True, config={"args_options": THREE_MACHINES}))[0].options
    # one process of one machine, so that no launcher waits for the other two
    step = step_that_runs(tmp_path, "")._replace(options=options._replace(num_machines=1))
    run_step(step, ENV_FILE, stop)


REPORT = """
from ymir_detectron2.contract.monitor import Monitor
from ymir_detectron2.errors import ModelError
from ymir_detectron2.failure import report_failure
status = report_failure(Monitor(Path(MONITOR), "t1"), ModelError("a.pth: does not fit"))
"""


@pytest.mark.parametrize("ending", ["sys.exit(status)", "os.kill(os.getpid(), signal.SIGABRT)"])
@pytest.mark.parametrize("monitor", ["monitor.txt", "script.py/monitor.txt"], ids=["as usual", "no disk"])
def test_the_error_that_a_child_has_reported_is_repeated(
    tmp_path: Path, stop: StopSignal, monkeypatch: pytest.MonkeyPatch, monitor: str, ending: str
):
    """Also where monitor.txt cannot be written, and where the child crashes at its exit after that."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_DIR))
    code = REPORT.replace("MONITOR", repr(str(tmp_path / monitor))) + ending
    with pytest.raises(ExecutorError, match=r"^a\.pth: does not fit$") as failure:
        run_step(step_that_runs(tmp_path, code), ENV_FILE, stop)
    assert failure.value.code == 300004


def test_what_monitor_txt_says_of_another_run_or_machine_is_not_taken_for_the_reason(
    tmp_path: Path, task: Task, stop: StopSignal
):
    task.monitor.write_text("t1\t1.0\t0.1\t2\t300004\tof an earlier run\n")
    with pytest.raises(ExecutorError, match=r"script\.py ended with exit status 3 and gave no reason"):
        run_step(step_that_runs(tmp_path, "sys.exit(3)"), ENV_FILE, stop)


@pytest.mark.parametrize("status", [0, 3])
def test_what_a_child_leaves_running_is_killed(tmp_path: Path, stop: StopSignal, status: int):
    code = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"result.write_text(str(child.pid))\nsys.exit({status})"
    )
    with contextlib.suppress(ExecutorError):
        run_step(step_that_runs(tmp_path, code), ENV_FILE, stop)
    wait_for_end(int((tmp_path / "r").read_text()))


def test_a_child_inherits_the_open_files_that_it_has_to(tmp_path: Path, stop: StopSignal):
    with (tmp_path / "lock").open("w") as lock, (tmp_path / "other").open("w") as other:
        code = f"os.fstat({lock.fileno()})\ntry:\n    os.fstat({other.fileno()})\nexcept OSError: result.touch()"
        run_step(step_that_runs(tmp_path, code), ENV_FILE, stop, (lock.fileno(),))


@pytest.mark.parametrize(
    ("code", "error_code", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", 300103, r"script\.py was killed by the system \(SIGKILL\)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 160004, r"script\.py crashed \(SIGSEGV\)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 160004, r"script\.py was stopped by SIGTERM; start the task again$"),
        ("sys.exit(3)", 160004, r"script\.py ended with exit status 3 and gave no reason"),
    ],
)
def test_a_child_that_reports_nothing(
    tmp_path: Path, task: Task, stop: StopSignal, code: str, error_code: int, sentence: str
):
    with pytest.raises(ExecutorError, match=sentence) as failure:
        run_step(step_that_runs(tmp_path, code), ENV_FILE, stop)
    assert failure.value.code == error_code


def test_a_stop_is_passed_on_to_the_running_step(tmp_path: Path, task: Task, stop: StopSignal):
    step = step_that_runs(tmp_path, "Path(__file__).with_name('started').touch()\ntime.sleep(60)")

    def stop_when_started() -> None:
        while not (tmp_path / "started").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    waiting = threading.Thread(target=stop_when_started, daemon=True)
    waiting.start()
    with pytest.raises(StoppedError, match=r"^stopped by SIGTERM while .*/script\.py was running; start"):
        run_step(step, ENV_FILE, stop)


SAVES = """
is_stopped = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: is_stopped.append(number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
Path(__file__).with_name('started').touch()
while not is_stopped: time.sleep(0.02)
{waits}
result.write_text('saved')
sys.exit({status})
"""


def signal_when(condition: Callable[[], bool], number: signal.Signals = signal.SIGTERM) -> threading.Thread:
    """Send a signal to this process as soon as a condition holds."""

    def wait() -> None:
        while not condition():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("status", "code"), [(1, 160004), (0, 0)], ids=["saves its work", "ends well"])
def test_a_step_that_takes_longer_than_the_grace_is_not_killed(
    tmp_path: Path, task: Task, stop: StopSignal, monkeypatch: pytest.MonkeyPatch, status: int, code: int
):
    """Otherwise `docker stop -t 600` would give it no more time than `docker stop`."""
    monkeypatch.setattr(launch, "STOP_GRACE_S", 0.2)
    monitor = Monitor(task.monitor, task.task_id)
    monitor.report(0.3)
    # the step goes on only once the error code is there, which it has to be before docker kills everything
    waits = f"while '160004' not in Path({str(task.monitor)!r}).read_text(): time.sleep(0.02)"
    step = step_that_runs(tmp_path, SAVES.format(waits=waits, status=status))
    signal_when((tmp_path / "started").exists)
    with contextlib.ExitStack() as failures:
        if status:
            failures.enter_context(pytest.raises(StoppedError, match=r"^stopped by SIGTERM while "))
        run_step(step, ENV_FILE, stop, monitor=monitor)
    assert (tmp_path / "r").read_text() == "saved"
    line = read_monitor(task.monitor)
    assert line is not None
    assert (line.code, line.fraction) == (code, 0.3 if status else 1.0)


def test_what_a_late_step_reports_replaces_what_was_written_in_advance(
    tmp_path: Path, task: Task, stop: StopSignal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(launch, "STOP_GRACE_S", 0.2)
    waits = f"while '160004' not in Path({str(task.monitor)!r}).read_text(): time.sleep(0.02)"
    report = f"""
sys.path.insert(0, {str(PROJECT_DIR)!r})
from ymir_detectron2.supervision import FailureReport, report_to_supervisor
report_to_supervisor(FailureReport(300201, 'the loss is NaN'))"""
    step = step_that_runs(tmp_path, SAVES.format(waits=waits + report, status=1))
    monitor = Monitor(task.monitor, task.task_id)
    monitor.report(0.3)
    signal_when((tmp_path / "started").exists)
    with pytest.raises(ExecutorError, match=r"^the loss is NaN$"):
        run_step(step, ENV_FILE, stop, monitor=monitor)
    assert read_monitor(task.monitor) == (0.3, 300201, "the loss is NaN")


def test_after_ctrl_c_a_step_has_all_the_time_it_needs(
    tmp_path: Path, task: Task, stop: StopSignal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Nobody kills it after ten seconds, so that no error code is written in advance."""
    monkeypatch.setattr(launch, "STOP_GRACE_S", 0.05)
    step = step_that_runs(tmp_path, SAVES.format(waits="time.sleep(1)", status=0))
    monitor = Monitor(task.monitor, task.task_id)
    monitor.report(0.3)
    seen: list[int] = []

    def note(code: int, *_: object, **__: object) -> None:
        seen.append(code)

    monkeypatch.setattr(monitor, "fail", note)
    signal_when((tmp_path / "started").exists, signal.SIGINT)
    run_step(step, ENV_FILE, stop, monitor=monitor)
    assert (tmp_path / "r").read_text() == "saved"
    assert seen == []
    (line,) = caplog.messages
    assert line.startswith("Ctrl-C: the step that is running may finish, and its work is saved, however long that ")
    assert line.endswith("a second Ctrl-C ends the task at once")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_a_step_that_does_not_end(
    tmp_path: Path, task: Task, stop: StopSignal, number: signal.Signals
):
    step = step_that_runs(tmp_path, SAVES.format(waits="result.touch()\ntime.sleep(600)", status=1))
    threads = [signal_when((tmp_path / "started").exists, number), signal_when((tmp_path / "r").exists, number)]
    with pytest.raises(StoppedError, match=rf"^stopped by {number.name} while "):
        run_step(step, ENV_FILE, stop)
    for thread in threads:
        thread.join()
    assert (tmp_path / "r").read_text() == ""


def test_after_a_kill_monitor_txt_has_the_sentence_of_the_last_line(tmp_path: Path, task: Task, stop: StopSignal):
    """Not that of a process whose report has not arrived, because the launcher was killed before it passed it on."""
    writes = f"""
sys.path.insert(0, {str(PROJECT_DIR)!r})
from ymir_detectron2.contract.monitor import Monitor
Monitor(Path({str(task.monitor)!r}), 't').fail(160004, 'stopped, says a process')
result.touch()
time.sleep(600)"""
    step = step_that_runs(tmp_path, SAVES.format(waits=writes, status=1))
    for condition in ((tmp_path / "started").exists, (tmp_path / "r").exists):
        signal_when(condition)
    monitor = Monitor(task.monitor, task.task_id)
    monitor.report(0.3)
    with pytest.raises(StoppedError) as error:
        run_step(step, ENV_FILE, stop, monitor=monitor)
    assert read_monitor(task.monitor) == (0.3, 160004, str(error.value))


def test_ctrl_c_while_a_step_is_being_imported_waits_until_it_can_be_handled(
    tmp_path: Path, task: Task, stop: StopSignal
):
    """Python itself would raise KeyboardInterrupt, and print a traceback, in whatever line is running."""
    code = f"""
Path(__file__).with_name('started').touch()
while not signal.sigpending(): time.sleep(0.02)
sys.path.insert(0, {str(PROJECT_DIR)!r})
from ymir_detectron2.stop_signal import StopSignal
result.write_text(StopSignal().install().name)"""
    signal_when((tmp_path / "started").exists, signal.SIGINT)
    run_step(step_that_runs(tmp_path, code), ENV_FILE, stop)
    assert (tmp_path / "r").read_text() == "SIGINT"


def test_no_step_begins_after_a_stop(task: Task, stop: StopSignal):
    os.kill(os.getpid(), signal.SIGTERM)
    step = plan(changed(task, run_infer=True))[0]
    with pytest.raises(StoppedError, match=r"^stopped by SIGTERM before ymir_infer\.py began; no image is kept"):
        run_step(step, ENV_FILE, stop)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (-9, 300103, "lower batch_size or num_workers, or give the container more memory; 2 stages are kept"),
        (-11, 160004, "P crashed (SIGSEGV)"),
        (-15, 160004, "P was stopped by SIGTERM; 2 stages are kept"),
        (3, 160004, "P ended with exit status 3 and gave no reason"),
    ],
)
def test_the_error_of_an_exit_status(status: int, code: int, words: str):
    error = exit_status_error("P", status, "2 stages are kept")
    assert error.code == code
    assert words in str(error)


@pytest.mark.parametrize("script", ["ymir_train.py", "ymir_infer.py"])
def test_a_stop_says_what_is_there(tmp_path: Path, task: Task, stop: StopSignal, script: str):
    """And not that finished stages were kept where there are none."""
    os.kill(os.getpid(), signal.SIGINT)
    step = Step(script, 0.0, 1.0, tmp_path / "r", 1, output_dir=tmp_path)
    with pytest.raises(StoppedError) as error:
        run_step(step, ENV_FILE, stop)
    nothing = "nothing is kept of it yet" if script == "ymir_train.py" else "no image is kept of it yet"
    assert str(error.value) == f"stopped by SIGINT before {script} began; {nothing}; start the task again"


def test_what_a_cluster_sets_for_other_launchers_reaches_no_process(task: Task, monkeypatch: pytest.MonkeyPatch):
    """RANK=1 of a Kubernetes job made the one process of a task wait for a first one."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("YMIR_WEIGHTS_DIR", "/own")
    environment = _environment(plan(changed(task, run_infer=True))[0])
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} & set(environment)
    assert environment["YMIR_WEIGHTS_DIR"] == "/own"

"""What a run does, and how it has ended."""

from __future__ import annotations

from nbkeras.notebook.words.language import Words

#: In all languages: the panel shows them too.
SENTENCES = {
    "preparing": ("Preparing the training", "正在准备训练"),
    "slots": (
        "Waiting for room for {workers} workers on Spark",
        "正在等待 Spark 空出 {workers} 个工作进程的位置",
    ),
    "slots_one": ("Waiting for room for the worker on Spark", "正在等待 Spark 为工作进程空出位置"),
    "computing": ("Spark computes the rows", "Spark 正在计算数据"),
    "reading": ("Reading rows", "正在读取数据"),
    "reading_rows": ("Reading rows: {rows} so far", "正在读取数据：已读 {rows} 行"),
    "starting": ("Starting {workers} trainers", "正在启动 {workers} 个训练进程"),
    "starting_one": ("Starting the trainer", "正在启动训练进程"),
    "training": ("Epoch {epoch} of {epochs}: first batch", "第 {epoch}/{epochs} 轮：第一批"),
    "training_step": (
        "Epoch {epoch} of {epochs}: batch {step} of {steps}",
        "第 {epoch}/{epochs} 轮：第 {step}/{steps} 批",
    ),
    "pausing": ("Pausing after this batch", "这一批结束后暂停"),
    "paused": (
        "Paused in epoch {epoch} of {epochs}: the workers wait and keep their places on Spark",
        "已在第 {epoch}/{epochs} 轮暂停：各工作进程等待，并保留在 Spark 中的位置",
    ),
    "paused_one": (
        "Paused in epoch {epoch} of {epochs}: the worker waits and keeps its place on Spark",
        "已在第 {epoch}/{epochs} 轮暂停：工作进程等待，并保留在 Spark 中的位置",
    ),
    "validating": ("Epoch {epoch} of {epochs}: validating", "第 {epoch}/{epochs} 轮：正在验证"),
    "waiting": ("Waiting for rows of the stream", "正在等待流中的数据"),
    "returning": ("Fetching the trained weights", "正在取回训练好的权重"),
    "stopping": ("Stopping after this batch", "这一批结束后停止"),
}

#: What a run is doing.
PHASES = Words(SENTENCES)

#: How a run has ended.
ENDS = Words(
    {
        "running": ("at work since {elapsed}: {done}", "已运行 {elapsed}：{done}"),
        "paused": ("paused, begun {elapsed} ago: {done}", "已暂停，{elapsed}前开始：{done}"),
        "finished": ("finished {done} in {elapsed}", "已完成 {done}，用时 {elapsed}"),
        "stopped": ("stopped after {done} in {elapsed}", "在 {done} 后停止，用时 {elapsed}"),
        "failed": ("failed after {done} in {elapsed}", "在 {done} 后失败，用时 {elapsed}"),
        "aborted": (
            "aborted after {done} in {elapsed}; the weights are those of before",
            "在 {done} 后中止，用时 {elapsed}；权重与训练前相同",
        ),
        "ended": (
            "ended by a callback in epoch {partial} of {epochs}, after {elapsed}",
            "在第 {partial}/{epochs} 轮由回调结束，用时 {elapsed}",
        ),
        "early": (
            "ended by a callback after {done} of {epochs} epochs, in {elapsed}",
            "在 {done}/{epochs} 轮后由回调结束，用时 {elapsed}",
        ),
        "partial": ("epoch {partial} is unfinished", "第 {partial} 轮未完成"),
        "epoch": ("1 epoch", "1 轮"),
        "epochs": ("{epochs} epochs", "{epochs} 轮"),
        "epochs_of": ("{done} of {epochs} epochs", "{done}/{epochs} 轮"),
        "line": ("epoch {epoch} of {epochs}{mark}  {values}", "第 {epoch}/{epochs} 轮{mark}  {values}"),
        "unfinished": (" (unfinished)", "（未完成）"),
        "seconds": ("{seconds} s", "{seconds} 秒"),
        "minutes": ("{minutes} min {seconds} s", "{minutes} 分 {seconds} 秒"),
        "hours": ("{hours} h {minutes} min", "{hours} 小时 {minutes} 分"),
    }
)

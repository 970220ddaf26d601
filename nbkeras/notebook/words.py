"""Every sentence that a display shows, in English and in Chinese, in one place.

A ``{word}`` is filled in by the display: in the browser with the reader's own
number format, elsewhere by :mod:`nbkeras.notebook.text`. ``NBKERAS_LANG`` (``en``
or ``zh``) chooses the language; without it a page has that of the front end, all
else is English.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LANGUAGES = ("en", "zh")
_VARIABLE = "NBKERAS_LANG"
_spoken: ContextVar[str] = ContextVar("nbkeras_language", default="")


def chosen() -> str:
    """The language of the environment, empty where it names none that is known."""
    return next((one for one in LANGUAGES if os.environ.get(_VARIABLE, "").lower().startswith(one)), "")


def language() -> str:
    """The language in which this process speaks."""
    return _spoken.get() or chosen() or LANGUAGES[0]


@contextmanager
def speaking(tongue: str) -> Iterator[None]:
    """Within the block, speak one of :data:`LANGUAGES`.

    Example:
        >>> with speaking("zh"):
        ...     PANEL["stop"]
        '停止'
    """
    token = _spoken.set(tongue)
    try:
        yield
    finally:
        _spoken.reset(token)


def in_each(say: Callable[[], str]) -> dict[str, str]:
    """A sentence in each language, for a page that chooses among them.

    Example:
        >>> in_each(lambda: PANEL["pause"])
        {'en': 'Pause', 'zh': '暂停'}
    """
    said = {}
    for tongue in LANGUAGES:
        with speaking(tongue):
            said[tongue] = say()
    return said


class Words(Mapping[str, str]):
    """Sentences by name: what is got is in the language that is spoken.

    Args:
        sentences: each in all of :data:`LANGUAGES`.
    """

    def __init__(self, sentences: Mapping[str, tuple[str, str]]) -> None:
        self._sentences = sentences

    def __getitem__(self, name: str) -> str:
        return self._sentences[name][LANGUAGES.index(language())]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sentences)

    def __len__(self) -> int:
        return len(self._sentences)


def for_page(*tables: Words, **more: Any) -> dict[str, Any]:
    """What a widget says, in each language, and which of them the environment has chosen.

    Args:
        tables: of words.
        more: what needs no translation.
    """
    spoken: dict[str, Any] = {"chosen": chosen()}
    for tongue in LANGUAGES:
        with speaking(tongue):
            said = {name: words for table in tables for name, words in table.items()}
            spoken[tongue] = {**said, **more, "language": tongue}
    return spoken


_PHASES = {
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
    "returning": ("Fetching the trained weights", "正在取回训练好的权重"),
    "stopping": ("Stopping after this batch", "这一批结束后停止"),
}
_MORE_CURVES = ("{count} more curves are in run.history", "另有 {count} 条曲线在 run.history 中")
_AT_EPOCH = ("{value} (epoch {epoch})", "{value}（第 {epoch} 轮）")
_COPY = {
    "copy": ("Copy", "复制"),
    "copied": ("Copied", "已复制"),
    "copy_by_hand": ("Selected: copy it with Ctrl+C or ⌘C.", "已选中：请用 Ctrl+C 或 ⌘C 复制。"),
}

#: What a run is doing.
PHASES = Words(_PHASES)

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

#: What the line magics answer.
ANSWERS = Words(
    {
        "stop": ("Stopping {name} after the batch in work.", "{name} 将在这一批结束后停止。"),
        "pause": (
            "Pausing {name} after the batch in work: %keras_spark resume goes on.",
            "{name} 将在这一批结束后暂停：用 %keras_spark resume 继续。",
        ),
        "resume": ("{name} goes on.", "{name} 继续训练。"),
        "learning_rate": (
            "{name} takes the learning rate {rate} with its next batch.",
            "{name} 从下一批起使用学习率 {rate}。",
        ),
        "none": ("No training is at work.", "没有正在进行的训练。"),
        "outside": (
            "This is a Spark DataFrame: begin the cell with %%keras_spark, and {method} runs on Spark.",
            "这是 Spark DataFrame：在单元格第一行写 %%keras_spark，{method} 就会在 Spark 上运行。",
        ),
        "form_tick": (
            (
                "Tick Train and run the paragraph again to train this network. Untick it before you change "
                "the form: Zeppelin runs a paragraph at every change of a list."
            ),
            (
                "勾选 Train 并重新运行本段落即可训练此网络。修改表单前请取消勾选：每次更改列表，"
                "Zeppelin 都会运行段落。"
            ),
        ),
        "chart_failed": (
            "The live chart stopped ({error}); the training goes on.",
            "实时图表已停止（{error}）；训练仍在进行。",
        ),
    }
)

#: What is not to be had in this place, and what is there instead.
PLACES = Words(
    {
        "zeppelin_stop": (
            "Cancel (❚❚) finishes this batch and keeps the weights and the history.",
            "取消（❚❚）会完成这一批，并保留权重和历史。",
        ),
        "zeppelin_plain": (
            "The %%keras_spark magics need Zeppelin's IPython mode: nbkeras zeppelin says how to get it.",
            "%%keras_spark 需要 Zeppelin 的 IPython 模式：运行 nbkeras zeppelin 查看如何启用。",
        ),
        "wait_java": ("Starting Java and Spark…", "正在启动 Java 与 Spark…"),
        "wait_keras": ("Importing Keras…", "正在导入 Keras…"),
        "wait_tensorflow": ("Importing TensorFlow…", "正在导入 TensorFlow…"),
        "wait_evaluate": ("Evaluating on Spark…", "正在 Spark 上评估…"),
        "wait_predict": ("Predicting on Spark…", "正在 Spark 上预测…"),
        "dashboard": ("nbkeras", "nbkeras"),
        "dashboard_empty": (
            "The next training of this note is shown here.",
            "本笔记的下一次训练将显示在这里。",
        ),
        "only_form": (
            (
                "%keras_spark form draws a form of Zeppelin, and this is no Zeppelin: %keras_spark build "
                "builds a network here, or write the model in a cell with %%keras_spark"
            ),
            (
                "%keras_spark form 绘制 Zeppelin 表单，而这里不是：请用 %keras_spark build 构建网络，"
                "或在带有 %%keras_spark 的单元格中编写模型"
            ),
        ),
        "only_dashboard": (
            (
                "%keras_spark dashboard is for Zeppelin, and this is no Zeppelin: "
                "here every chart is live in its own cell"
            ),
            "%keras_spark dashboard 用于 Zeppelin，此处不是：每张图表都在自己的单元格里更新",
        ),
        "build_zeppelin": (
            "%keras_spark build needs a notebook with widgets; here %keras_spark form draws a form",
            "%keras_spark build 需要支持小部件的笔记本；此处请用 %keras_spark form 绘制表单",
        ),
        "build_terminal": (
            (
                "%keras_spark build needs a notebook with widgets, such as JupyterLab; "
                "here write the model in a cell with %%keras_spark"
            ),
            (
                "%keras_spark build 需要支持小部件的笔记本，例如 JupyterLab；"
                "此处请在带有 %%keras_spark 的单元格中编写模型"
            ),
        ),
    }
)

#: What the panel of a run says; see frontend/panel.js.
PANEL = Words(
    {
        **{f"phase_{name}": both for name, both in _PHASES.items() if name != "stopping"},
        "stopping": _PHASES["stopping"],
        "title": ("Training {name}", "训练 {name}"),
        "stop": ("Stop", "停止"),
        "stop_title": (
            "Finish this batch, keep the weights and the history",
            "完成这一批，保留权重和历史",
        ),
        "stop_asked": ("Stopping…", "正在停止…"),
        "stop_hint": (
            "The kernel is busy with another cell, which comes first.",
            "内核正忙于另一个单元格，需等它先完成。",
        ),
        "stop_hint_foreground": (
            "The kernel has not answered yet: press ■ in the toolbar.",
            "内核尚未响应：请按工具栏上的 ■。",
        ),
        "elapsed": ("{time} elapsed", "已用 {time}"),
        "remaining": ("about {time} left", "约剩 {time}"),
        "so_far": ("Loss of epoch {epoch} so far: {value}", "第 {epoch} 轮到目前的损失：{value}"),
        "so_far_first": (
            "Loss of epoch {epoch} so far, on the rows of worker 0: {value}",
            "第 {epoch} 轮到目前的损失（工作进程 0 的行）：{value}",
        ),
        "best_point": ("Best: {value}, epoch {epoch}", "最佳：{value}，第 {epoch} 轮"),
        "rate": ("{rows} rows/s", "{rows} 行/秒"),
        "kernel_gone": (
            "The kernel ended or was restarted, with it the training in epoch {epoch}: run the cell again",
            "内核已重启或结束，训练也随之在第 {epoch} 轮结束：请重新运行此单元格。",
        ),
        "silent": ("No news from the kernel for {seconds} s", "内核已 {seconds} 秒没有消息"),
        "progress": ("Progress of the training", "训练进度"),
        "train": ("train", "训练"),
        "validation": ("val", "验证"),
        "axis": ("epoch", "轮"),
        "chart": ("{title} by epoch. {values}.", "{title} 随轮次的变化。{values}。"),
        "value": ("{name} {value}", "{name} {value}"),
        "said_epoch": ("Epoch {epoch} of {epochs}", "第 {epoch}/{epochs} 轮"),
        "more": _MORE_CURVES,
        # the tools of the panel
        "pause": ("Pause", "暂停"),
        "pause_title": (
            "Have the workers wait after this batch; their slots stay taken",
            "让工作进程在这一批之后等待；槽位仍被占用",
        ),
        "pause_asked": ("Pausing…", "正在暂停…"),
        "resume": ("Resume", "继续"),
        "resume_title": ("Have the workers go on", "让工作进程继续"),
        "resume_asked": ("Resuming…", "正在继续…"),
        "learning_rate": ("Learning rate", "学习率"),
        "learning_rate_title": (
            "What the workers train with; type another one and press Enter",
            "工作进程使用的学习率；输入新值并按回车",
        ),
        "learning_rate_typed": (
            "Enter sets this learning rate, Esc takes it back.",
            "按回车设置此学习率，按 Esc 撤回。",
        ),
        "learning_rate_asked": (
            "The workers take this learning rate with their next batch.",
            "工作进程从下一批起使用此学习率。",
        ),
        "steer_hint_foreground": (
            "This kernel hears it only when the cell has ended; --background keeps it free.",
            "此内核要等单元格结束才能收到；--background 可使其保持空闲。",
        ),
        "tools": ("How the charts are shown", "图表的显示方式"),
        "log": ("Log scale", "对数刻度"),
        "log_left_out": (
            "{count} values of 0 or less have no place on a log scale.",
            "{count} 个不大于 0 的值无法显示在对数刻度上。",
        ),
        "log_left_out_one": (
            "One value of 0 or less has no place on a log scale.",
            "1 个不大于 0 的值无法显示在对数刻度上。",
        ),
        "smoothing": ("Smoothing", "平滑"),
        "curves": ("Curves", "曲线"),
        "all_hidden": (
            "All curves are hidden: tick some under Curves.",
            "所有曲线都已隐藏：请在“曲线”中勾选。",
        ),
        "chart_keys": ("Arrow keys read the values.", "用方向键读取数值。"),
        "read_epoch": ("epoch {epoch}", "第 {epoch} 轮"),
        "read_near": _AT_EPOCH,
        "read_smoothed": ("{value} ({measured} measured)", "{value}（实测 {measured}）"),
        "download": ("Download", "下载"),
        "download_as": ("Download {format}", "下载 {format}"),
        "thinned": (
            "Of so many epochs charts and files have the lowest and highest points: run.history has all.",
            "轮数过多，图表和文件只含各段的最低点和最高点：run.history 中有全部数值。",
        ),
    }
)

#: The table under the picture of a run.
TABLE = Words(
    {
        "metric": ("metric", "指标"),
        "last": ("train, last", "训练，最后"),
        "best": ("train, best", "训练，最佳"),
        "val_last": ("validation, last", "验证，最后"),
        "val_best": ("validation, best", "验证，最佳"),
        "best_at": _AT_EPOCH,
        "more": _MORE_CURVES,
    }
)

#: How a model looks.
LOOKS = Words(
    {
        "layer": ("layer", "层"),
        "kind": ("type", "类型"),
        "shape": ("output of a row", "每行的输出"),
        "weights": ("weights", "权重"),
        "table": ("all layers as a table", "所有层的表格"),
        "more": ("{count} more layers are in model.summary()", "另有 {count} 层见 model.summary()"),
        "sum": (
            "{name}: {total} weights, {frozen} of them frozen, {size}",
            "{name}：{total} 个权重，其中 {frozen} 个已冻结，{size}",
        ),
        "bytes": ("{count} bytes", "{count} 字节"),
        "unbuilt": (
            "{name} is not built yet: give it a keras.Input, or train it, to see its shapes",
            "{name} 尚未构建：给它一个 keras.Input 或训练它，即可看到各层形状",
        ),
    }
)

#: What the builder says; see frontend/builder.js.
BUILDER = Words(
    {
        "builder": ("Build a network", "构建网络"),
        "data": ("Data", "数据"),
        "frame": ("DataFrame", "DataFrame"),
        "label": ("Label", "标签"),
        "task": ("What is learnt", "学习目标"),
        "task_auto": ("as the label says: {task}", "由标签决定：{task}"),
        "task_binary": ("two classes", "两个类别"),
        "task_classes": ("several classes", "多个类别"),
        "task_regression": ("a number", "一个数值"),
        "task_input": ("the features themselves", "特征本身"),
        "features": ("Features", "特征"),
        "features_chosen": ("{count} of {all} chosen", "已选 {count}/{all}"),
        "filter": ("Find a column", "查找列"),
        "more_columns": ("{count} more: type a part of the name", "另有 {count} 列：请输入列名的一部分"),
        "network": ("Layers", "层"),
        "preset": ("Start from", "起点"),
        "own": ("own layers", "自定义网络层"),
        "presets": ("Networks", "网络"),
        "models": ("Models of this notebook", "本笔记本中的模型"),
        "input": ("Input of a row", "每行的输入"),
        "kind": ("Another layer", "新增层"),
        "add": ("Add", "添加"),
        "keys": (
            "Enter: arguments; Alt+↑ and Alt+↓: move; Delete: remove",
            "回车：参数；Alt+↑ 与 Alt+↓：移动；Delete：删除",
        ),
        "no_layers": (
            "There is no layer: add some, and end with {layer}",
            "还没有层：请添加层，并以 {layer} 结尾",
        ),
        "no_arguments": ("This layer has nothing to choose.", "此层没有可选参数。"),
        "up": ("Move layer {number}, {kind}, up", "上移第 {number} 层 {kind}"),
        "down": ("Move layer {number}, {kind}, down", "下移第 {number} 层 {kind}"),
        "remove": ("Remove layer {number}, {kind}", "删除第 {number} 层 {kind}"),
        "weights": ("{count} weights", "{count} 个权重"),
        "total": (
            "{count} weights in all; a worker takes about {memory} MB of memory",
            "共 {count} 个权重；每个工作进程约占 {memory} MB 内存",
        ),
        "any": ("any", "任意"),
        "none": ("none", "无"),
        "group_core": ("Core", "核心"),
        "group_convolution": ("Convolution", "卷积"),
        "group_pooling": ("Pooling", "池化"),
        "group_sequence": ("Sequences", "序列"),
        "group_normalisation": ("Normalisation", "归一化"),
        "group_preprocessing": ("Preprocessing", "预处理"),
        "group_augmentation": ("Augmentation, in training alone", "数据增强（仅训练时）"),
        "training": ("Training", "训练"),
        "optimizer": ("Optimizer", "优化器"),
        "learning_rate": ("Learning rate", "学习率"),
        "batch_size": ("Batch size", "批大小"),
        "epochs": ("Epochs", "轮数"),
        "validation_split": ("Validation split", "验证比例"),
        "workers": ("Workers", "工作进程"),
        "backend": ("Backend", "后端"),
        "train_now": ("Train", "训练"),
        "train_waits": ("Waiting for the cell that runs", "正在等待运行中的单元格"),
        "train_trains": ("Training: see below", "训练中：见下方"),
        "what": (
            "It sets model and history in this notebook",
            "会设置本笔记本中的 model 与 history",
        ),
        "loss": ("Loss", "损失"),
        "metrics": ("Metrics", "指标"),
        "patience": ("Patience", "早停耐心"),
        "patience_hint": (
            "epochs without a lower loss; 0: never stop early",
            "损失不再下降的轮数；0 表示不早停",
        ),
        "left_out": ("{count} left out: see why", "未使用 {count} 列：查看原因"),
        "more_left": ("{count} more", "另有 {count} 列"),
        "why_words": (
            "words: StringIndexer of pyspark.ml makes numbers of them",
            "文字：可用 pyspark.ml 的 StringIndexer 转为数值",
        ),
        "why_times": (
            "times: take numbers of them, as functions.month(…)",
            "时间：请从中取出数值，例如 functions.month(…)",
        ),
        "why_parts": (
            "several values: make columns of them, as df.select('*', 'name.part')",
            "多个值：请拆成单独的列，例如 df.select('*', 'name.part')",
        ),
        "why_bytes": ("bytes: decode them to numbers first", "字节：请先解码为数值"),
        "why_empty": ("its arrays are empty", "其中的数组为空"),
        "why_other": ("no numbers: turn it into some, or leave it out", "不是数值：请转为数值或不使用"),
        "not_ready": ("Mend what is red first", "请先修正标红之处"),
        "code": ("Keras code", "Keras 代码"),
        **_COPY,
        "waiting": (
            (
                "The kernel has not answered yet: it is busy with a cell, or it was restarted; then run this "
                "cell again."
            ),
            "内核尚未响应：它正忙于某个单元格，或已重启；若已重启，请重新运行此单元格。",
        ),
    }
)

#: What the panel and the tables of runs say; see record.py, comparison.py and frontend/runs.js.
RUNS = Words(
    {
        "title": ("Runs", "训练记录"),
        "none": (
            (
                "No run yet: train a model with nbkeras.fit or in a %%keras_spark cell, "
                "or read a checkpoint with nbkeras.runs.read(PATH)."
            ),
            (
                "还没有训练：用 nbkeras.fit 或在 %%keras_spark 单元格中训练模型，"
                "或用 nbkeras.runs.read(PATH) 读取检查点。"
            ),
        ),
        "hint": (
            "Tick runs to compare them, to see their code and to load their weights.",
            "勾选训练以便比较、查看代码和载入权重。",
        ),
        "refresh": ("Refresh", "刷新"),
        "choose": ("Compare {name}", "比较 {name}"),
        "name": ("run", "训练"),
        "status": ("status", "状态"),
        "epochs": ("epochs", "轮数"),
        "best": ("best", "最佳"),
        "best_epoch": ("at epoch", "所在轮"),
        "seconds": ("seconds", "秒"),
        "rate": ("rows/s", "行/秒"),
        "workers": ("workers", "工作进程"),
        "began": ("began", "开始"),
        "status_running": ("at work", "进行中"),
        "status_paused": ("paused", "已暂停"),
        "status_finished": ("finished", "已完成"),
        "status_stopped": ("stopped", "已停止"),
        "status_failed": ("failed", "失败"),
        "status_aborted": ("aborted", "已中止"),
        "epochs_of": ("{done} of {asked}", "{done}/{asked}"),
        "best_of": ("{metric} {value}", "{metric} {value}"),
        "older": ("{count} older runs are in nbkeras.runs", "另有 {count} 个较早的训练在 nbkeras.runs 中"),
        "most": (
            "Up to {most} runs are compared at once: untick one to choose another.",
            "一次最多比较 {most} 个训练：取消勾选一个才能选择另一个。",
        ),
        "waiting": (
            "The kernel is busy: it answers when its cell has ended.",
            "内核正忙：单元格结束后才会响应。",
        ),
        "compared": ("Compared runs", "所比较的训练"),
        "code": ("Show code", "显示代码"),
        "code_of": ("Show the code of {name}", "显示 {name} 的代码"),
        "code_title": ("Code of {name}", "{name} 的代码"),
        "no_code": (
            "{name} has no code: it was not trained from a cell.",
            "{name} 没有代码：它不是从单元格训练的。",
        ),
        **_COPY,
        "close": ("Close", "关闭"),
        "load": ("Load weights", "载入权重"),
        "load_of": ("Load the weights of {name} into its model", "把 {name} 的权重载入其模型"),
        "loaded": ("The weights of {name} are in its model now.", "{name} 的权重已载入其模型。"),
        "in_training": (
            "The model of {name} is at work in run {other}: wait for its end, then load the weights.",
            "{name} 的模型正在训练 {other} 中使用：请等它结束后再载入权重。",
        ),
        "bests": ("Best values", "最佳值"),
        "best_value": _AT_EPOCH,
        "settings": ("Settings that differ", "不同的设置"),
        "same": ("All settings are the same.", "所有设置都相同。"),
        "no_curves": ("There is no finished epoch to draw yet.", "还没有可绘制的已完成轮次。"),
        "more": ("{count} more metrics are in run.history", "另有 {count} 个指标在 run.history 中"),
        "legend": (
            "Solid: training. Dashed: validation. A ring marks the best epoch.",
            "实线：训练。虚线：验证。圆环标出最佳轮次。",
        ),
        "picture": ("{title} of {names}", "{names} 的 {title}"),
        "metric": ("metric", "指标"),
        "setting": ("setting", "设置"),
        "unset": ("-", "-"),
        "columns": ("{count} columns: {first}, …", "{count} 列：{first}、…"),
    }
)
